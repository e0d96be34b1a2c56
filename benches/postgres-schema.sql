CREATE TABLE books (
    id integer PRIMARY KEY,
    title text NOT NULL,
    price integer NOT NULL,
    stock integer NOT NULL CHECK (stock >= 0)
);
CREATE TABLE orders (
    id uuid PRIMARY KEY,
    book_id integer NOT NULL REFERENCES books,
    quantity integer NOT NULL,
    total integer NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE idempotency (
    key uuid PRIMARY KEY,
    order_id uuid NOT NULL REFERENCES orders DEFERRABLE INITIALLY DEFERRED,
    total integer NOT NULL,
    remaining integer NOT NULL
);
INSERT INTO books
SELECT id, 'Book ' || id, 2800, 1000000000 FROM generate_series(1, 11) AS id;
