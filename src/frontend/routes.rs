//! HTTP of the frontend. The public listener knows no internal route.

use super::admin::{self, Admin};
use super::answer;
use super::cache::{By, LeaseKeeper, Want};
use super::demand::Demand;
use super::gate::Gate;
use super::hits::Hits;
use super::live::{self, Live};
use super::openapi::answers::{Bought, Document, NoSuchBook, Order, Read};
use super::openapi::parameters::{
    BookNumber, Key, OrderNumber, PageFound, PageOfTopic, Revalidation, TopicName,
};
use super::openapi::{self, Docs, Endpoint, Served as Described};
use super::path::last_segment;
use super::shop::{Decided, Shop};
use super::status::{Own, status};
use super::storefront::stock;
use crate::abort;
use crate::clock;
use crate::coherence::Moment;
use crate::coherence::lease::{Fence, FenceAnswer};
use crate::domain::{BookId, IdempotencyKey, Invalid, OrderId, Refusal, Topic, Words};
use crate::member::Member;
use crate::pages;
use crate::server::{
    __path_healthz, ApiError, Exposed, healthz, prove_to_members, read_body, read_json, request_id,
    require_token, resource,
};
use crate::wire::frontend::{HOLDER, HolderAnswer, INVALIDATE};
use crate::wire::public::{
    BookView, DEFAULT_LIMIT, MAX_LIMIT, OrderView, PurchaseBody, PurchaseView, SearchView, TopicsView,
};
use crate::wire::status::STATUS;
use crate::wire::{ErrorCode, Problem, headers};
use actix_web::http::Uri;
use actix_web::http::header::{self, Header, HeaderValue, IfNoneMatch};
use actix_web::middleware::from_fn;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

/// A purchase has three short members.
const MAX_PURCHASE_BODY: usize = 4 << 10;

/// A fence names at most 1,024 keys of some hundred bytes.
const MAX_FENCE_BODY: usize = 512 << 10;

type Answer = Result<HttpResponse, ApiError>;

pub fn public(config: &mut ServiceConfig, shop: Arc<Shop>, live: Arc<Live>, hits: Hits) {
    config.app_data(Data::from(shop)).app_data(Data::from(live)).app_data(hits);
    // The router tries them in turn.
    openapi::register(config, &endpoints());
    pages::configure(config);
    live::configure(config);
    openapi::configure(config);
    config.service(resource("/docs", "GET", web::get().to(docs)));
}

/// The shop's API: what is served, and what is described. Routes with a parameter are found by a regular
/// expression: they come last.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new::<__path_purchase>("orders", || web::to(purchase)),
        Endpoint::new::<__path_topics>("catalog", || web::to(topics)),
        Endpoint::new::<live::__path_events>("catalog", || web::to(live::events)),
        Endpoint::new::<__path_healthz>("operation", || web::to(healthz)),
        Endpoint::new::<__path_readyz>("operation", || web::to(readyz)),
        Endpoint::new::<__path_query>("catalog", || web::to(query)),
        Endpoint::new::<__path_description>("operation", || web::to(description)),
        Endpoint::new::<__path_info>("catalog", || web::to(info)),
        Endpoint::new::<__path_search>("catalog", || web::to(search)),
        Endpoint::new::<__path_order>("orders", || web::to(order)),
    ]
}

/// The API's description, as it is served to programs and to people.
struct Description {
    programs: Described,
    people: Docs,
}

impl Description {
    fn new(document: &utoipa::openapi::OpenApi) -> Self {
        Self { programs: Described::new(document), people: Docs::new(document) }
    }

    /// Says what this frontend serves: of the administration, nothing where there is none.
    fn of(request: &HttpRequest) -> &'static Self {
        static SHOP: LazyLock<Description> =
            LazyLock::new(|| Description::new(&openapi::of_shop(endpoints())));
        static ALL: LazyLock<Description> =
            LazyLock::new(|| Description::new(&openapi::of_all(endpoints(), admin::endpoints())));
        match request.app_data::<Data<Admin>>() {
            None => &SHOP,
            Some(_) => &ALL,
        }
    }
}

async fn docs(request: HttpRequest) -> HttpResponse {
    Description::of(&request).people.answer()
}

pub fn internal(
    config: &mut ServiceConfig,
    own: Arc<Own>,
    shop: Arc<Shop>,
    member: Member,
    exposed: Exposed,
) {
    let leases = Arc::clone(&shop.cache.leases);
    config
        .app_data(Data::from(own))
        .app_data(Data::new(member))
        .app_data(Data::from(leases))
        .app_data(Data::from(shop))
        .configure(|config| exposed.configure(config))
        .service(resource("/healthz", "GET", web::get().to(healthz)).wrap(from_fn(prove_to_members)))
        .service(resource("/readyz", "GET", web::get().to(readyz)).wrap(from_fn(prove_to_members)))
        .service(
            web::scope("")
                .wrap(from_fn(require_token))
                .service(resource(INVALIDATE, "POST", web::post().to(invalidate)))
                .service(resource(HOLDER, "GET", web::get().to(holder)))
                .service(resource(STATUS, "GET", web::get().to(status))),
        );
}

/// Books of a topic
///
/// A topic that has no books is an empty list. `next` is the path of the following page.
#[utoipa::path(
    get, path = "/catalog-service/search/{topic}",
    params(TopicName, PageOfTopic, Demand, Revalidation), responses(Read<SearchView<'_>>)
)]
async fn search(shop: Data<Shop>, request: HttpRequest) -> Answer {
    let came_in = clock::now();
    let want = page(request.uri())?;
    read(&shop, &want, &request, came_in).await
}

/// Books by words of their titles
///
/// All of the words must be in a title, in any order, letter case or accent. The last one, and one that ends
/// in `*`, may be the beginning of a longer word if it has three letters. The shortest title comes first.
#[utoipa::path(
    get, path = "/catalog-service/search",
    params(PageFound, Demand, Revalidation), responses(Read<SearchView<'_>>)
)]
async fn query(shop: Data<Shop>, request: HttpRequest) -> Answer {
    let came_in = clock::now();
    let want = found(request.uri())?;
    read(&shop, &want, &request, came_in).await
}

/// A book
#[utoipa::path(
    get, path = "/catalog-service/info/{id}",
    params(BookNumber, Demand, Revalidation), responses(Read<BookView<'_>>, NoSuchBook)
)]
async fn info(shop: Data<Shop>, request: HttpRequest) -> Answer {
    let came_in = clock::now();
    let want = Want::Book(BookId::parse(&last_segment(request.uri())?)?);
    read(&shop, &want, &request, came_in).await
}

/// All topics
///
/// In order; of more than 10,000 the first 10,000.
#[utoipa::path(
    get, path = "/catalog-service/topics",
    params(Demand, Revalidation), responses(Read<TopicsView<'_>>)
)]
async fn topics(shop: Data<Shop>, request: HttpRequest) -> Answer {
    read(&shop, &Want::Topics, &request, clock::now()).await
}

async fn read(shop: &Shop, want: &Want, request: &HttpRequest, came_in: Moment) -> Answer {
    let request_id = request_id(request);
    let demand = Demand::parse(request.headers())?;
    let served = shop.read(want, demand, came_in, &request_id).await?;
    let took = came_in.until(clock::now());
    log::debug!(
        target: answer::LOG, request_id = request_id.as_str();
        "cache {} {want} {:.3} ms from {}", served.x_cache(), took.as_secs_f64() * 1e3, served.by
    );
    if served.by == By::Memory
        && demand == Demand::default()
        && let Some(hits) = request.app_data::<Hits>()
    {
        hits.remember(request, &served.entry);
    }
    // A header that is no list of tags is none.
    let has = request.headers().contains_key(&header::IF_NONE_MATCH);
    let has = has.then(|| IfNoneMatch::parse(request).ok()).flatten();
    Ok(answer::to_read(&served, took, has.as_ref()))
}

/// Buy a book
///
/// A 503, or no answer, means that the outcome is not known: repeat it under the same `Idempotency-Key`, and
/// it is bought once. A refusal is remembered under its key as well.
#[utoipa::path(
    post, path = "/order-service/purchase",
    params(Key), request_body(content = PurchaseBody, example = json!({ "book_id": 9 })), responses(Bought<PurchaseView>)
)]
async fn purchase(
    shop: Data<Shop>,
    gate: Data<Gate>,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    let came_in = clock::now();
    let request_id = request_id(&request);
    let mut key = None;
    let outcome = buy(&shop, &gate, &request, payload, &request_id, &mut key).await;
    let replayed = matches!(&outcome, Ok((Decided { replayed: true, .. }, _)));
    let answered = match outcome {
        Ok((Decided { answer: Ok(receipt), .. }, _)) => Ok(receipt),
        Ok((Decided { answer: Err(refusal), .. }, wanted)) => {
            Err(refused(&shop, refusal, &wanted, &request_id).await)
        }
        Err(problem) => Err(problem),
    };
    let mut response = match answered {
        Ok(receipt) => {
            let mut answer = HttpResponse::Ok();
            answer.insert_header((headers::BAZAR_VERSION, receipt.version.public().to_string()));
            answer.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
            let took = came_in.until(clock::now()).as_micros() as f64 / 1000.0;
            log::debug!(
                request_id = request_id.as_str();
                "purchase book:{} x{} {took:.2} ms", receipt.book_id, receipt.quantity.get()
            );
            answer.json(PurchaseView::new(&receipt, took))
        }
        Err(problem) => {
            log::debug!(request_id = request_id.as_str(); "purchase refused: {}", problem.error);
            ApiError(problem).error_response()
        }
    };
    answer::tell_key(response.headers_mut(), key.as_ref(), replayed);
    response
}

/// Says how many copies are left where some are, but fewer than were asked for.
async fn refused(shop: &Shop, refusal: Refusal, wanted: &PurchaseBody, request_id: &str) -> Problem {
    let problem = Problem::from(refusal);
    let quantity = wanted.quantity.get();
    if refusal != Refusal::OutOfStock || quantity == 1 {
        return problem;
    }
    match left(shop, wanted.book_id, request_id).await {
        // Or there are more by now.
        Some(left) if left < quantity => {
            let verb = if left == 1 { "copy is" } else { "copies are" };
            problem.detailed(format!("{left} {verb} left, and {quantity} were asked for"))
        }
        _ => problem,
    }
}

/// How many copies there are now, if that is known for sure.
async fn left(shop: &Shop, book: BookId, request_id: &str) -> Option<u32> {
    let read = shop.read(&Want::Book(book), Demand::default(), clock::now(), request_id).await;
    let served = read.ok().filter(|served| !served.stale)?;
    Some(stock::book(&served).ok()?.stock.get())
}

/// What was asked for and what became of it. `key` is set as soon as there is one, so that every answer from then on
/// can carry it.
async fn buy(
    shop: &Shop,
    gate: &Gate,
    request: &HttpRequest,
    payload: web::Payload,
    request_id: &str,
    key: &mut Option<IdempotencyKey>,
) -> Result<(Decided, PurchaseBody), Problem> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if !content_type.is_none_or(is_json) {
        return Err(ErrorCode::UnsupportedMediaType.into());
    }
    // Before the body, so that a client whose body is late is answered with its key as well.
    if let Some(given) = request.headers().get(headers::IDEMPOTENCY_KEY) {
        // Not text at all is a key that breaks its rules, like the empty one.
        *key = Some(IdempotencyKey::parse(given.to_str().unwrap_or_default())?);
    }
    gate.may_buy(request)?;
    let body = PurchaseBody::parse(&read_body(payload, MAX_PURCHASE_BODY).await?)?;
    Ok((shop.purchase(&body, key, request_id.to_owned()).await?, body))
}

pub(super) fn is_json(content_type: &HeaderValue) -> bool {
    let essence = content_type.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// An order
///
/// That there is no such order is the master's word: an order that was acknowledged is always found.
#[utoipa::path(
    get, path = "/order-service/orders/{id}",
    params(OrderNumber, Demand), responses(Order<OrderView>)
)]
async fn order(shop: Data<Shop>, request: HttpRequest) -> Answer {
    // What cannot be an order id is the id of no order.
    let Ok(id) = last_segment(request.uri())?.parse::<OrderId>() else {
        return Err(ErrorCode::OrderNotFound.into());
    };
    let demand = Demand::parse(request.headers())?;
    let (order, shows) = shop.order(id, demand, &request_id(&request)).await?;
    let order = order.ok_or(ErrorCode::OrderNotFound)?;
    let mut answer = HttpResponse::Ok();
    answer.insert_header((headers::BAZAR_VERSION, shows.to_string()));
    answer.insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")));
    Ok(answer.json(OrderView::from(&order)))
}

/// This description
#[utoipa::path(get, path = "/openapi.json", params(Revalidation), responses(Document))]
async fn description(request: HttpRequest) -> HttpResponse {
    Description::of(&request).programs.answer(&request)
}

/// Can it serve?
///
/// One line for each dependency; 503 when purchases or reads have nowhere to go, and while the cache is warmed.
#[utoipa::path(
    get, path = "/readyz",
    responses(
        (status = 200, body = String, content_type = "text/plain", description = "It can",
         example = "catalog: 2 of 2 nodes are well\norder: 2 of 2 nodes are well\nlease: held in epoch 1\nredis: not configured\n"),
        (status = 503, body = String, content_type = "text/plain", description = "Not now"),
    )
)]
async fn readyz(shop: Data<Shop>) -> HttpResponse {
    let line = |name: &str, (all, well): (usize, usize)| format!("{name}: {well} of {all} nodes are well\n");
    let (catalog, orders) = (shop.cache.nodes.count(), shop.orders.pool.count());
    let lease = match shop.cache.leases.lease().as_ref().filter(|lease| lease.valid_at(clock::now())) {
        Some(lease) => format!("lease: held in epoch {}\n", lease.epoch().number),
        None => "lease: none, reads are not cached\n".into(),
    };
    let redis = match &shop.cache.redis {
        Some(redis) if redis.is_connected() => "redis: connected\n",
        Some(_) => "redis: not to be had, reads go on without it\n",
        None => "redis: not configured\n",
    };
    let recipe =
        shop.cache.recipe.map(|recipe| format!("UNSAFE coherence: {recipe}, answers may be stale\n"));
    let recipe = recipe.unwrap_or_default();
    let warming = shop.warming.line().unwrap_or_default();
    let body =
        format!("{}{}{lease}{redis}{warming}{recipe}", line("catalog", catalog), line("order", orders));
    match catalog.1 > 0 && orders.1 > 0 && warming.is_empty() {
        true => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(body),
        false => HttpResponse::ServiceUnavailable().content_type("text/plain; charset=utf-8").body(body),
    }
}

async fn invalidate(shop: Data<Shop>, request: HttpRequest, payload: web::Payload) -> Answer {
    let fence: Fence = read_json(payload, MAX_FENCE_BODY).await?;
    abort::point(abort::FENCE_RECEIVED);
    shop.cache.counts.fenced();
    match shop.cache.announced(&fence).await {
        FenceAnswer::Raised => {
            abort::point(abort::FENCE_RAISED);
            log::debug!(
                request_id = request_id(&request).as_str();
                "cache INVALIDATE {} before {}", fence.keys, fence.version.public()
            );
            Ok(HttpResponse::Ok().json(HolderAnswer { holder: fence.holder }))
        }
        FenceAnswer::NotThisHolder => Err(ErrorCode::NotThisHolder.into()),
    }
}

async fn holder(leases: Data<LeaseKeeper>) -> HttpResponse {
    HttpResponse::Ok().json(HolderAnswer { holder: leases.holder() })
}

/// The page that `/search/{topic}?limit=&after=` asks for.
fn page(uri: &Uri) -> Result<Want, Problem> {
    let topic = Topic::parse(last_segment(uri)?)?;
    let (mut after, mut limit) = (None, DEFAULT_LIMIT);
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "after" => after = Some(BookId::parse(&value)?),
            "limit" => limit = parse_limit(&value)?,
            _ => {}
        }
    }
    Ok(Want::Page { topic, after, limit })
}

/// The page that `/search?q=&limit=&after=` asks for.
fn found(uri: &Uri) -> Result<Want, Problem> {
    let (mut words, mut after, mut limit) = (Cow::default(), None, DEFAULT_LIMIT);
    for (name, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "q" => words = value,
            "after" => after = Some(value.parse()?),
            "limit" => limit = parse_limit(&value)?,
            _ => {}
        }
    }
    Ok(Want::Query { words: Words::parse(words)?, after, limit })
}

fn parse_limit(value: &str) -> Result<u32, Invalid> {
    let sentence = || Invalid(format!("limit must be a whole number between 1 and {MAX_LIMIT}"));
    match value.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(sentence()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Text of a path or query as it may arrive: escapes, whole and broken, and what HTTP lets through.
    fn sent() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            "[a-zA-Z0-9._~!$&'()*+,;=:@%-]{0,8}",
            "(%[0-9a-fA-F]{2}){1,6}",
            "limit=[0-9+-]{0,12}",
            "after=[0-9+-]{0,20}"
        ];
        proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
    }

    fn uri(text: &str) -> Option<Uri> {
        text.parse().ok()
    }

    proptest! {
        #[test]
        fn whatever_stands_in_the_path_is_a_page_or_refused(topic in sent(), query in sent()) {
            let Some(uri) = uri(&format!("/search/{topic}?{query}")) else { return Ok(()) };
            if let Ok(Want::Page { limit, after, .. }) = page(&uri) {
                prop_assert!((1..=MAX_LIMIT).contains(&limit));
                prop_assert!(after.is_none_or(|after| after.get() >= 1));
            }
        }

        #[test]
        fn whatever_stands_in_the_query_is_a_search_or_refused(words in sent(), query in sent()) {
            let Some(uri) = uri(&format!("/search?q={words}&{query}")) else { return Ok(()) };
            if let Ok(Want::Query { words, limit, .. }) = found(&uri) {
                prop_assert!((1..=MAX_LIMIT).contains(&limit));
                prop_assert!(words.to_fts5().contains('"'));
            }
        }

        #[test]
        fn every_topic_that_is_escaped_is_read_back(topic in "[^\\p{C}]{1,40}", limit in 1..=MAX_LIMIT) {
            let Ok(topic) = Topic::parse(topic) else { return Ok(()) };
            let escaped = percent_encoding::utf8_percent_encode(topic.as_str(), percent_encoding::NON_ALPHANUMERIC);
            let uri = uri(&format!("/catalog-service/search/{escaped}?limit={limit}")).unwrap();
            prop_assert_eq!(page(&uri).unwrap(), Want::Page { topic, after: None, limit });
        }

        #[test]
        fn whatever_comes_as_a_fence_is_a_fence_or_refused(body: Vec<u8>) {
            prop_assert!(serde_json::from_slice::<Fence>(&body).is_err());
        }

        #[test]
        fn a_fence_with_any_member_changed_is_a_fence_or_refused(
            holder in "[0-9a-fA-FxX+-]{0,20}",
            version in "[0-9a-f:.+-]{0,50}",
            keys in proptest::collection::vec("(book:|topic:|topics|q)?[ -~]{0,20}", 0..20),
        ) {
            let text = |text: &str| serde_json::Value::from(text);
            let body = serde_json::json!({
                "holder": text(&holder),
                "lease": text(&holder),
                "version": text(&version),
                "keys": { "keys": keys },
            });
            if let Ok(fence) = serde_json::from_value::<Fence>(body) {
                // What was understood means the same when it is sent on.
                let again = serde_json::to_vec(&fence).unwrap();
                prop_assert_eq!(serde_json::from_slice::<Fence>(&again).unwrap(), fence);
            }
        }

        #[test]
        fn whatever_stands_in_the_content_type_is_json_or_not(value in proptest::collection::vec(0x20..0x7fu8, 0..60)) {
            is_json(&HeaderValue::from_bytes(&value).unwrap());
        }
    }
}
