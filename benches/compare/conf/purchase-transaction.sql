-- The purchase as a shop writes it: take a copy if there is one, write the order, write the answer to its key. The
-- book's row is locked from the first statement to the end of the commit.
\set book random(1, :books)
BEGIN;
UPDATE books SET stock = stock - 1 WHERE id = :book AND stock >= 1 RETURNING price, stock \gset
INSERT INTO orders (id, book_id, quantity, total, created_at)
VALUES (gen_random_uuid(), :book, 1, :price, now()) RETURNING id AS order_id \gset
INSERT INTO idempotency (key, order_id, total, remaining)
VALUES (gen_random_uuid(), :order_id, :price, :stock);
COMMIT;
