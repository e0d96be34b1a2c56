-- The purchase as one statement, so one round trip and one commit: take a copy if
-- there is one, and only then write the order and the answer to its key. This is
-- the best that a client of PostgreSQL can do; BEGIN ... COMMIT would hold the
-- book's row over four more round trips.
\set book random(1, :books)
WITH sold AS (
    UPDATE books SET stock = stock - 1 WHERE id = :book AND stock >= 1
    RETURNING id, price, stock
), placed AS (
    INSERT INTO orders (id, book_id, quantity, total, created_at)
    SELECT gen_random_uuid(), id, 1, price, now() FROM sold
    RETURNING id
)
INSERT INTO idempotency (key, order_id, total, remaining)
SELECT gen_random_uuid(), placed.id, sold.price, sold.stock FROM placed, sold;
