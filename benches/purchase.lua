-- wrk: each request buys one copy of the book in BENCH_BOOK; no key is sent, so
-- each is an order of its own.

wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"book_id":' .. os.getenv("BENCH_BOOK") .. "}"
