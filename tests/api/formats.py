"""Values that Schemathesis cannot make from a pattern alone."""

import schemathesis
from hypothesis import strategies as st

# In a header it would draw letters and digits only. 19 digits always fit 64 bits; the named ones are versions
# that a new store has.
number = st.integers(0, 10**19 - 1)
version = st.builds("{}.{}".format, number, number)
schemathesis.openapi.format("version", st.one_of(st.sampled_from(["0.0", "1.0", "1.1"]), version))

# Its classes of letters are not quite Unicode's, so that it would miscount the words.
word = st.one_of(
    st.sampled_from(["project", "time", "Gr*", "crème", "海", "OR", "NEAR/2"]),
    st.text(st.characters(categories=["Lu", "Ll", "Lo", "Nd"]), min_size=1, max_size=8),
)
gap = st.sampled_from([" ", "  ", " - ", '"', "*", "(", "%", "😀"])
words = st.lists(st.tuples(word, gap), min_size=1, max_size=15).map(
    lambda pairs: "".join(word + gap for word, gap in pairs)
)
schemathesis.openapi.format("words", words)
