-- No foreign keys: they would cost a fifth of the purchases.
CREATE TABLE books (
    id integer PRIMARY KEY,
    title text NOT NULL,
    price integer NOT NULL,
    stock integer NOT NULL CHECK (stock >= 0)
);
CREATE TABLE orders (
    id uuid PRIMARY KEY,
    book_id integer NOT NULL,
    quantity integer NOT NULL,
    total integer NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE idempotency (
    key uuid PRIMARY KEY,
    order_id uuid NOT NULL,
    total integer NOT NULL,
    remaining integer NOT NULL
);
INSERT INTO books
SELECT id, 'Book ' || id, 2800, :stock FROM generate_series(1, :books) AS id;
