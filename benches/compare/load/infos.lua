-- wrk's part of the comparison of misses: every request asks for a book that none before it asked for. The ids from
-- BENCH_FIRST_ID on, BENCH_IDS of them, in an order that jumps about and comes to each once: n * stride modulo a number
-- of ids to which the stride is coprime (it is a prime far above any catalog here). BENCH_FROM of the order are used up.
-- BENCH_PATH is another path than that of a book, with an @ where the id belongs. Also for benches/ab.

local first = tonumber(os.getenv("BENCH_FIRST_ID"))
local ids = tonumber(os.getenv("BENCH_IDS"))
local turn = tonumber(os.getenv("BENCH_FROM"))
local stride = 15485863
local head, tail

function init(args)
    local whole = wrk.format("GET", os.getenv("BENCH_PATH") or "/catalog-service/info/@")
    head, tail = whole:match("^(.-)@(.*)$")
end

function request()
    local id = first + (turn * stride) % ids
    turn = turn + 1
    return head .. string.format("%d", id) .. tail
end

function done(summary)
    local errors = summary.errors
    local failed = errors.status + errors.connect + errors.read + errors.write + errors.timeout
    print(string.format("COUNTS %d %d %d", summary.requests, summary.duration, failed))
end
