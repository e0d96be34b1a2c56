//! Who a data directory is.

use super::random_id;

random_id!(
    /// The durable identity of one data directory, drawn when it is made: of a master or a replica, through
    /// all lives of its process. A copy of a directory has its identity too, and must not run beside it.
    NodeId,
    "a node's identity"
);

#[cfg(test)]
mod tests {
    use super::NodeId;

    #[test]
    fn an_identity_survives_the_wire_in_one_spelling_only() {
        let node = NodeId(0xbeef);
        assert_eq!(node.to_string(), "000000000000beef");
        assert_eq!(node.to_string().parse::<NodeId>().unwrap(), node);
        assert_eq!(serde_json::from_str::<NodeId>("\"000000000000beef\"").unwrap(), node);
        for text in ["", "beef", "000000000000BEEF", "+00000000000beef", "0000000000000beef"] {
            assert!(text.parse::<NodeId>().is_err(), "{text}");
        }
    }
}
