"""The checker is checked: it must accept what a correct store shows, and see through each sort of wrong one."""

import random
import unittest

import history

BOOK = 7
STOCK = 300


def store(seed, stale_reads=0.0, flagged=False, lost=0.0, double=0.0, unsold=0.0):
    """What 8 clients of a store see, as (operations, initial, final).

    The store does each operation at one moment between its begin and its end. Each fault is a probability:
    stale_reads shows what was true some time ago, lost forgets to take the copy away, double sells one twice,
    unsold takes a copy away without a purchase.
    """
    random_ = random.Random(seed)
    pending = []
    for client in range(8):
        now = 0
        for _ in range(120):
            begun = now + random_.randint(1, 50)
            ended = begun + random_.randint(1, 80)
            pending.append((random_.randint(begun, ended), begun, ended, client))
            now = ended
    pending.sort()
    count, past, operations, number = STOCK, [STOCK], [], 0
    for _, begun, ended, _ in pending:
        times = {"book": BOOK, "begun": begun, "ended": ended}
        if random_.random() < 0.4 and count > 0:
            number += 1
            taken = count - 1
            if random_.random() >= lost:
                count = taken
            operations.append({"kind": "buy", "order": f"o{number}", "remaining": taken, **times})
            if random_.random() < double:
                operations.append({"kind": "buy", "order": f"d{number}", "remaining": taken, **times})
        elif random_.random() < unsold and count > 0:
            count -= 1
        else:
            stale = random_.random() < stale_reads
            shown = past[max(0, len(past) - 60)] if stale else count
            operations.append({"kind": "read", "count": shown, "flagged": stale and flagged, **times})
        past.append(count)
    return operations, {BOOK: STOCK}, {BOOK: count}


class TheChecker(unittest.TestCase):
    def finds(self, **faults):
        for seed in range(20):
            self.assertNotEqual(history.check(*store(seed, **faults)), [], f"seed {seed}")

    def test_accepts_a_correct_store(self):
        for seed in range(50):
            self.assertEqual(history.check(*store(seed)), [], f"seed {seed}")

    def test_accepts_old_values_that_say_so(self):
        for seed in range(20):
            self.assertEqual(history.check(*store(seed, stale_reads=0.3, flagged=True)), [], f"seed {seed}")

    def test_finds_a_stale_read(self):
        self.finds(stale_reads=0.02)

    def test_finds_a_lost_decrement(self):
        self.finds(lost=0.05)

    def test_finds_a_copy_sold_twice(self):
        self.finds(double=0.05)

    def test_finds_a_copy_that_nobody_bought(self):
        self.finds(unsold=0.05)

    def test_finds_two_purchases_in_the_wrong_order(self):
        first = {"kind": "buy", "book": 1, "order": "a", "remaining": 3, "begun": 10, "ended": 20}
        second = {"kind": "buy", "book": 1, "order": "b", "remaining": 4, "begun": 30, "ended": 40}
        self.assertEqual(len(history.check([first, second], {1: 5})), 1)
        self.assertEqual(history.check([first, {**second, "begun": 15}], {1: 5}), [])

    def test_finds_a_read_of_the_future_even_if_it_says_that_it_may_be_stale(self):
        read = {"kind": "read", "book": 1, "count": 3, "flagged": True, "begun": 0, "ended": 5}
        buy = {"kind": "buy", "book": 1, "order": "a", "remaining": 3, "begun": 10, "ended": 20}
        self.assertEqual(len(history.check([read, buy], {1: 4})), 1)

    def test_finds_two_reads_that_go_back_in_time(self):
        low = {"kind": "read", "book": 1, "count": 3, "begun": 0, "ended": 5}
        high = {"kind": "read", "book": 1, "count": 4, "begun": 6, "ended": 9}
        self.assertEqual(len(history.check([low, high], {1: 4})), 1)

    def test_finds_a_refusal_while_copies_are_left(self):
        refuse = {"kind": "refuse", "book": 1, "begun": 0, "ended": 5}
        buy = {"kind": "buy", "book": 1, "order": "a", "remaining": 0, "begun": 6, "ended": 9}
        self.assertEqual(len(history.check([refuse, buy], {1: 1})), 1)

    def test_finds_an_order_number_that_was_given_twice(self):
        buys = [{"kind": "buy", "book": 1, "order": "a", "remaining": n, "begun": 0, "ended": 9} for n in (1, 0)]
        self.assertEqual(len(history.check(buys, {1: 2}, {1: 0})), 1)


if __name__ == "__main__":
    unittest.main()
