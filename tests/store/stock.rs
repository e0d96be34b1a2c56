//! Nothing is sold that is not there.

use crate::harness::{Cluster, Shape, in_company};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const BUYERS: usize = 50;
const STOCK: usize = 5;

#[test]
fn of_50_buyers_of_5_copies_exactly_5_succeed() {
    let _company = in_company();
    let cluster = Cluster::start(Shape { orders: 2, ..Shape::default() });
    let start = std::sync::Barrier::new(BUYERS);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let buyers: Vec<_> = (0..BUYERS)
            .map(|number| {
                let (client, start) = (cluster.client(number % 2), &start);
                scope.spawn(move || {
                    start.wait();
                    client.buy(4)
                })
            })
            .collect();
        buyers.into_iter().map(|buyer| buyer.join().unwrap()).collect()
    });
    let (sold, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((sold.len(), refused.len()), (STOCK, BUYERS - STOCK));
    for answer in refused {
        assert_eq!(answer.problem(409, "out_of_stock"), "Book is out of stock");
    }
    let remaining: BTreeSet<i64> =
        sold.iter().map(|answer| answer.json()["remaining"].as_i64().unwrap()).collect();
    assert_eq!(remaining, BTreeSet::from([0, 1, 2, 3, 4]));
    let ids: BTreeSet<String> =
        sold.iter().map(|answer| answer.json()["orderId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), STOCK);
    for client in cluster.clients() {
        assert_eq!((client.info(4).stock(4), client.search("science").stock(4)), (0, 0));
        for id in &ids {
            client.order(id).ok();
        }
    }
    let rows = cluster.stop_and_compare();
    assert_eq!((rows["orders"].len(), rows["answers"].len()), (STOCK, BUYERS));
}

#[test]
fn who_wants_more_than_there_is_is_told_how_many_are_left() {
    let _company = in_company();
    let cluster = Cluster::start(Shape::default());
    cluster.set_stock(9, 2);
    let detail = |client: usize, quantity: u32| {
        let wanted = json!({ "book_id": 9, "quantity": quantity });
        let answer = cluster.client(client).post("/order-service/purchase", &[], &wanted);
        assert_eq!(answer.problem(409, "out_of_stock"), "Book is out of stock", "as ever");
        answer.json()["detail"].clone()
    };
    assert_eq!(detail(0, 5), "2 copies are left, and 5 were asked for");
    cluster.client(0).buy(9).ok();
    assert_eq!(detail(1, 2), "1 copy is left, and 2 were asked for");
    cluster.client(1).buy(9).ok();
    assert_eq!(detail(0, 2), "0 copies are left, and 2 were asked for");
    assert_eq!(detail(0, 1), Value::Null, "the sentence says it all");
}
