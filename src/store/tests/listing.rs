//! What a keeper lists, page after page.

use super::*;
use crate::domain::{OrderPage, OrdersWanted};

/// The last digits of the numbers of orders that [`purchase`] gave.
fn numbers(page: &OrderPage) -> Vec<u128> {
    let digits = |id: OrderId| u128::from_str_radix(&id.to_string()[12..], 16).unwrap();
    page.orders.iter().map(|order| digits(order.order_id)).collect()
}

/// A shop in which the orders 0 to 29 were placed, each in a millisecond of its own: every third one of book 9, the
/// others of book 7.
async fn shop() -> Node {
    let mut node = Node::master().await;
    let buy = |n: i64| {
        let order_id = OrderId::draw(n, n as u128);
        Request::Purchase(Purchase { order_id, ..purchase(n as u128, if n % 3 == 0 { 9 } else { 7 }) })
    };
    node.write(&[restock(9, 100), restock(7, 100)]).await;
    // In another order than that of their numbers: frontends' clocks differ.
    node.write(&(0..30).rev().map(buy).collect::<Vec<_>>()).await;
    node
}

#[tokio::test]
async fn the_shelf_has_every_book_in_order_of_its_number() {
    let mut node = Node::master().await;
    node.write(&[create("Twelve", "x"), delete(4)]).await;
    for limit in [1, 4, 11, 12] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = node.store.shelf(after, limit).await.unwrap().value;
            seen.extend(page.books.iter().map(|book| book.id.get()));
            let Some(next) = page.next else { break };
            after = Some(next);
        }
        assert_eq!(seen, [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12], "limit {limit}");
    }
}

#[tokio::test]
async fn orders_are_listed_newest_first_without_gap_or_repetition() {
    let node = shop().await;
    for limit in [1, 7, 30, 31] {
        let (mut seen, mut below) = (Vec::new(), None);
        loop {
            let wanted = OrdersWanted { below, ..OrdersWanted::default() };
            let page = node.store.orders(wanted, limit).await.unwrap().value;
            assert!(page.orders.len() <= limit as usize);
            seen.extend(numbers(&page));
            let Some(next) = page.next else { break };
            below = Some(next);
        }
        assert_eq!(seen, (0..30).rev().collect::<Vec<_>>(), "limit {limit}");
    }
}

#[tokio::test]
async fn orders_of_a_time_and_of_a_book_are_those_and_no_others() {
    let node = shop().await;
    let [from, below] = [10, 20].map(|ms| Some(OrderId::first_of(ms)));
    let within = OrdersWanted { book: None, from, below };
    let page = node.store.orders(within, 100).await.unwrap().value;
    assert_eq!((numbers(&page), page.next), ((10..20).rev().collect(), None));
    let of_book = OrdersWanted { book: Some(id(9)), ..within };
    let page = node.store.orders(of_book, 100).await.unwrap().value;
    assert_eq!((numbers(&page), page.next), (vec![18, 15, 12], None));
    let nobody = OrdersWanted { book: Some(id(3)), ..OrdersWanted::default() };
    let page = node.store.orders(nobody, 100).await.unwrap().value;
    assert_eq!(page, OrderPage { orders: vec![], next: None });
}

#[tokio::test]
async fn a_walk_through_a_books_orders_looks_at_a_bounded_number_and_goes_on_from_there() {
    let node = shop().await;
    for (limit, stretch) in [(100, 1), (100, 4), (1, 4), (2, 7), (100, 30)] {
        let (mut seen, mut below, mut pages) = (Vec::new(), None, 0);
        loop {
            let wanted = OrdersWanted { book: Some(id(9)), from: None, below };
            let page = node.store.orders_within(wanted, limit, stretch).await.unwrap().value;
            pages += 1;
            seen.extend(numbers(&page));
            let Some(next) = page.next else { break };
            assert!(below.is_none_or(|below| next < below), "it goes on");
            below = Some(next);
        }
        let expected: Vec<u128> = (0..30).rev().filter(|n| n % 3 == 0).collect();
        assert_eq!(seen, expected, "limit {limit}, stretch {stretch}");
        assert!(pages > 30 / stretch as usize, "{pages} pages of {stretch}");
    }
}
