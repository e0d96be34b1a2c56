//! Pages of books: the list, one of them, a new one.

use super::desk::{AtDesk, Instead, at_desk, door};
use super::frame::{key, page, plain_price, price, see, sentence};
use crate::domain::{
    Book, BookId, BookTag, Edit, EditRefusal, Edited, GuardedEdit, IdempotencyKey, Invalid, NewBook, Stock,
    Title, Topic,
};
use crate::frontend::admin::Admin;
use crate::frontend::admin::asked::{BooksAsked, BooksWanted, parse_count, parse_price};
use crate::server::read_query;
use crate::wire::admin::Copies;
use crate::wire::{ErrorCode, Problem};
use actix_web::http::StatusCode;
use actix_web::web::{self, Data};
use actix_web::{HttpRequest, HttpResponse};
use maud::{Markup, html};
use serde::Deserialize;

/// Books on a page.
const PAGE: u32 = 50;

/// Fewer copies than this are soon sold out.
const FEW: u32 = 4;

type Page = Result<HttpResponse, Instead>;

/// Whichever page it came to.
fn either(page: Page) -> HttpResponse {
    page.unwrap_or_else(HttpResponse::from)
}

#[derive(Deserialize)]
struct Done {
    done: Option<String>,
}

/// What the page before has done; only known words are shown.
fn notice(request: &HttpRequest) -> Markup {
    let done = read_query::<Done>(request).ok().and_then(|query| query.done);
    let words = match done.as_deref() {
        Some("created") => "The book is in the shop.",
        Some("saved") => "Saved. Every reader sees it.",
        Some("stocked") => "The stock is changed. Every reader sees it.",
        Some("deleted") => "The book is gone.",
        _ => return html! {},
    };
    html! { div.notice.good role="status" { p { (words) } } }
}

pub async fn list(admin: Data<Admin>, request: HttpRequest) -> HttpResponse {
    let desk = match at_desk(&admin, &request) {
        Ok(desk) => desk,
        // The front door, and nothing wrong about coming to it.
        Err(_) => return door(StatusCode::OK, None),
    };
    match listed(&desk, &request).await {
        Ok(main) => page(&desk, "/admin", "Books", StatusCode::OK, &main),
        Err(problem) => desk.wrong(&problem),
    }
}

async fn listed(desk: &AtDesk, request: &HttpRequest) -> Result<Markup, Problem> {
    let asked: BooksAsked = read_query(request)?;
    let (keeper, request_id) = (&desk.admin.keeper, &*desk.actor.request_id);
    let words = asked.q.clone().unwrap_or_default();
    // What has no word in it finds nothing.
    let (books, next) = match asked.wanted() {
        Ok(BooksWanted::All { after }) => {
            let page = keeper.shelf(after, PAGE, request_id).await?.value;
            (page.books, page.next.map(|next| next.to_string()))
        }
        Ok(BooksWanted::With { words, after }) => {
            let page = keeper.find(words, after, PAGE, request_id).await?.value;
            (page.books, page.next.map(|next| next.to_string()))
        }
        Err(invalid) if asked.after.is_some() => return Err(invalid.into()),
        Err(_) => (Vec::new(), None),
    };
    Ok(html! {
        h1 { "Books" }
        (notice(request))
        form.sieve method="get" action="/admin" role="search" aria-label="Books" {
            label for="sieve" { "Words in titles" }
            input #sieve type="search" name="q" value=(words) maxlength="300";
            button.quiet type="submit" { "Find" }
            @if !words.is_empty() { a href="/admin" { "All books" } }
        }
        @if books.is_empty() {
            p { "There is no book" @if !words.is_empty() { " whose title has these words" } "." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Books" {
                table {
                    thead {
                        tr {
                            th.number scope="col" { "Id" }
                            th scope="col" { "Title" }
                            th scope="col" { "Topic" }
                            th.number scope="col" { "In stock" }
                            th.number scope="col" { "Price" }
                        }
                    }
                    tbody {
                        @for book in &books {
                            tr {
                                td.number { (book.id) }
                                td { a href={ "/admin/books/" (book.id) } { (book.title) } }
                                td { (book.topic) }
                                td.number { (stock(book.stock)) }
                                td.number { (price(book.price)) }
                            }
                        }
                    }
                }
            }
        }
        @if let Some(next) = next {
            p { a.button.quiet rel="next" href=(asked.next("/admin", next)) { "More books" } }
        }
    })
}

fn stock(stock: Stock) -> Markup {
    let class = match stock.get() {
        0 => "badge bad",
        1..FEW => "badge warn",
        _ => "",
    };
    html! { span class=(class) { (stock.get()) } }
}

/// The fields of a book as they were typed: a page that says what is wrong with them shows them as they were.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Fields {
    title: String,
    topic: String,
    price: String,
    /// Of a new book only.
    #[serde(default)]
    stock: String,
    key: String,
    /// What the editor saw.
    #[serde(default)]
    seen: String,
}

impl Fields {
    fn of(book: &Book) -> Self {
        Self {
            title: book.title.to_string(),
            topic: book.topic.to_string(),
            price: plain_price(book.price),
            seen: BookTag::of(book).to_string(),
            ..Self::default()
        }
    }

    fn new_book(&self) -> Result<NewBook, Invalid> {
        Ok(NewBook {
            title: Title::parse(self.title.trim())?,
            topic: Topic::parse(self.topic.trim())?,
            stock: Stock::new(parse_count(&self.stock, "the stock")?)?,
            price: parse_price(&self.price)?,
        })
    }

    fn update(&self, book_id: BookId) -> Result<Edit, Invalid> {
        Ok(Edit::Update {
            book_id,
            title: Some(Title::parse(self.title.trim())?),
            topic: Some(Topic::parse(self.topic.trim())?),
            stock: None,
            price: Some(parse_price(&self.price)?),
        })
    }

    fn markup(&self) -> Markup {
        html! {
            div.field {
                label for="title" { "Title" }
                input #title name="title" value=(self.title) required maxlength=(Title::MAX_CHARS);
            }
            div.field {
                label for="topic" { "Topic" }
                input #topic name="topic" value=(self.topic) required maxlength=(Topic::MAX_CHARS);
            }
            div.field {
                label for="price" { "Price in dollars" }
                input #price name="price" value=(self.price) required inputmode="decimal" autocomplete="off";
            }
        }
    }
}

pub async fn new(admin: Data<Admin>, request: HttpRequest) -> HttpResponse {
    either(async { new_page(&at_desk(&admin, &request)?, &Fields::default(), None) }.await)
}

fn new_page(desk: &AtDesk, fields: &Fields, wrong: Option<&str>) -> Page {
    // What was refused under a key stays refused: another attempt has another.
    let key = key(None).map_err(|problem| desk.instead(&problem))?;
    let main = html! {
        h1 { "New book" }
        (complaint(wrong))
        form.card.narrow method="post" action="/admin/books" {
            (desk.secret()) (key) (fields.markup())
            div.field {
                label for="stock" { "Copies in stock" }
                input #stock name="stock" value=(fields.stock) required inputmode="numeric" autocomplete="off";
            }
            button type="submit" { "Put it into the shop" }
        }
    };
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(page(desk, "/admin/books/new", "New book", status, &main))
}

fn complaint(wrong: Option<&str>) -> Markup {
    html! { @if let Some(wrong) = wrong { div.notice.bad role="alert" { p { (sentence(wrong)) } } } }
}

pub async fn create(admin: Data<Admin>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    either(
        async {
            let desk = at_desk(&admin, &request)?;
            let fields: Fields = desk.form(payload).await?;
            let new = match fields.new_book() {
                Ok(new) => new,
                Err(invalid) => return new_page(&desk, &fields, Some(&invalid.0)),
            };
            match change(&desk, &fields.key, None, Edit::Create(new)).await? {
                Ok(Edited { book: Some(book), .. }) => {
                    Ok(see(&format!("/admin/books/{}?done=created", book.id)))
                }
                Ok(Edited { book: None, .. }) => Err(desk.instead(&ErrorCode::Internal.into())),
                Err(refusal) => new_page(&desk, &fields, Some(&refusal.to_string())),
            }
        }
        .await,
    )
}

/// Where there is no answer, the page says that nobody knows.
async fn change(
    desk: &AtDesk,
    key: &str,
    expect: Option<BookTag>,
    edit: Edit,
) -> Result<Result<Edited, EditRefusal>, Instead> {
    let changed = async {
        let key = IdempotencyKey::parse(key)?;
        let decided = desk.admin.change(desk.actor.clone(), GuardedEdit { key, expect, edit }).await?;
        Ok(decided.answer)
    };
    changed.await.map_err(|problem: Problem| desk.instead(&problem))
}

/// The book that a path names, as it is now.
async fn found(desk: &AtDesk, request: &HttpRequest) -> Result<Book, Instead> {
    let found = async {
        let id = BookId::parse(request.match_info().query("id")).map_err(|_| ErrorCode::BookNotFound)?;
        let book = desk.admin.keeper.book(id, &desk.actor.request_id).await?.value;
        book.ok_or_else(|| Problem::from(ErrorCode::BookNotFound))
    };
    found.await.map_err(|problem| desk.instead(&problem))
}

pub async fn book(admin: Data<Admin>, request: HttpRequest) -> HttpResponse {
    either(
        async {
            let desk = at_desk(&admin, &request)?;
            let book = found(&desk, &request).await?;
            book_page(&desk, &book, &Fields::of(&book), StatusCode::OK, &notice(&request))
        }
        .await,
    )
}

fn book_page(desk: &AtDesk, book: &Book, fields: &Fields, status: StatusCode, notice: &Markup) -> Page {
    let key = || key(None).map_err(|problem| desk.instead(&problem));
    let main = html! {
        p.crumbs { a href="/admin" { "Books" } " › " (book.id) }
        h1 { (book.title) }
        (notice)
        div.desk-grid {
            form.card method="post" action={ "/admin/books/" (book.id) } {
                h2 { "What customers read" }
                (desk.secret()) (key()?)
                input type="hidden" name="seen" value=(fields.seen);
                (fields.markup())
                button type="submit" { "Save" }
            }
            div {
                form.card method="post" action={ "/admin/books/" (book.id) "/restock" } {
                    h2 { "Stock" }
                    (desk.secret()) (key()?)
                    p.stock { (stock(book.stock)) " in stock" }
                    div.field {
                        label for="copies" { "Copies that come" }
                        input #copies name="copies" required inputmode="numeric" autocomplete="off"
                            aria-describedby="copies-hint";
                        span.hint #copies-hint { "A number such as 5; with a minus, copies that are lost." }
                    }
                    button type="submit" { "Change the stock" }
                }
                p.more {
                    a href={ "/admin/orders?book=" (book.id) } { "Orders of this book" }
                    a href={ "/books/" (book.id) } { "In the shop" }
                    a.dangerous href={ "/admin/books/" (book.id) "/delete" } { "Delete it…" }
                }
            }
        }
    };
    Ok(page(desk, "", book.title.as_str(), status, &main))
}

pub async fn save(admin: Data<Admin>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    either(
        async {
            let desk = at_desk(&admin, &request)?;
            let fields: Fields = desk.form(payload).await?;
            let book = found(&desk, &request).await?;
            let asked =
                fields.update(book.id).and_then(|edit| Ok((edit, BookTag::parse(fields.seen.as_str())?)));
            let (edit, seen) = match asked {
                Ok(asked) => asked,
                Err(invalid) => {
                    let wrong = complaint(Some(&invalid.0));
                    return book_page(&desk, &book, &fields, StatusCode::UNPROCESSABLE_ENTITY, &wrong);
                }
            };
            match change(&desk, &fields.key, Some(seen), edit).await? {
                Ok(_) => Ok(see(&format!("/admin/books/{}?done=saved", book.id))),
                Err(EditRefusal::Changed) => conflict(&desk, &request, &fields).await,
                Err(refusal) => Err(desk.instead(&refusal.into())),
            }
        }
        .await,
    )
}

/// Somebody was faster: what the book is now beside what was to be. Saving this page takes what it says then.
async fn conflict(desk: &AtDesk, request: &HttpRequest, fields: &Fields) -> Page {
    let now = found(desk, request).await?;
    let theirs = Fields::of(&now);
    let rows = [
        ("Title", &theirs.title, &fields.title),
        ("Topic", &theirs.topic, &fields.topic),
        ("Price", &theirs.price, &fields.price),
    ];
    let notice = html! {
        div.notice.warn role="alert" {
            h2 { "Somebody else has changed this book meanwhile" }
            p { "Nothing of yours is saved yet. Below is what you typed; save it again if it is to replace what is there now." }
            table.conflict {
                thead { tr { th scope="col" { "" } th scope="col" { "There now" } th scope="col" { "Yours" } } }
                tbody {
                    @for (name, theirs, ours) in rows {
                        tr {
                            th scope="row" { (name) }
                            td { (theirs) }
                            td { @if theirs == ours { (ours) } @else { mark { (ours) } } }
                        }
                    }
                }
            }
            p { a href={ "/admin/books/" (now.id) } { "Leave it as it is now" } }
        }
    };
    let ours = Fields { seen: theirs.seen, ..fields.clone() };
    book_page(desk, &now, &ours, StatusCode::CONFLICT, &notice)
}

#[derive(Deserialize)]
struct Delivery {
    copies: String,
    key: String,
}

pub async fn restock(admin: Data<Admin>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    either(
        async {
            let desk = at_desk(&admin, &request)?;
            let Delivery { copies, key } = desk.form(payload).await?;
            let book = found(&desk, &request).await?;
            let wrong = match parse_count(&copies, "a number of copies").and_then(Copies::new) {
                Ok(copies) => match change(&desk, &key, None, copies.edit(book.id)).await? {
                    Ok(_) => return Ok(see(&format!("/admin/books/{}?done=stocked", book.id))),
                    Err(refusal @ (EditRefusal::TooFew { .. } | EditRefusal::StockLimit)) => {
                        refusal.to_string()
                    }
                    Err(refusal) => return Err(desk.instead(&refusal.into())),
                },
                Err(invalid) => invalid.0,
            };
            let (fields, wrong) = (Fields::of(&book), complaint(Some(&wrong)));
            book_page(&desk, &book, &fields, StatusCode::UNPROCESSABLE_ENTITY, &wrong)
        }
        .await,
    )
}

pub async fn ask_to_delete(admin: Data<Admin>, request: HttpRequest) -> HttpResponse {
    either(
        async {
            let desk = at_desk(&admin, &request)?;
            let book = found(&desk, &request).await?;
            delete_page(&desk, &book, StatusCode::OK, None)
        }
        .await,
    )
}

fn delete_page(desk: &AtDesk, book: &Book, status: StatusCode, wrong: Option<&str>) -> Page {
    let key = key(None).map_err(|problem| desk.instead(&problem))?;
    let main = html! {
        p.crumbs { a href="/admin" { "Books" } " › " a href={ "/admin/books/" (book.id) } { (book.id) } " › delete" }
        h1 { "Delete this book?" }
        (complaint(wrong))
        div.card.narrow {
            p { strong { (book.title) } ", " (book.topic) ", " (price(book.price)) ", " (book.stock.get()) " in stock." }
            p { "It leaves the shop at once. Its orders stay, and its number is never given to another book." }
            form.actions method="post" action={ "/admin/books/" (book.id) "/delete" } {
                (desk.secret()) (key)
                input type="hidden" name="seen" value=(BookTag::of(book).as_str());
                button.danger type="submit" { "Delete it" }
                a.button.quiet href={ "/admin/books/" (book.id) } { "Keep it" }
            }
        }
    };
    Ok(page(desk, "", "Delete a book", status, &main))
}

#[derive(Deserialize)]
struct Deletion {
    key: String,
    seen: String,
}

pub async fn delete(admin: Data<Admin>, request: HttpRequest, payload: web::Payload) -> HttpResponse {
    either(
        async {
            let desk = at_desk(&admin, &request)?;
            let Deletion { key, seen } = desk.form(payload).await?;
            let asked = async {
                Ok::<_, Problem>((BookId::parse(request.match_info().query("id"))?, BookTag::parse(seen)?))
            };
            let (book_id, seen) = asked.await.map_err(|problem| desk.instead(&problem))?;
            // Not looked up before: a repeated request finds no book, and is told under its key that it is gone.
            match change(&desk, &key, Some(seen), Edit::Delete { book_id }).await? {
                Ok(_) => Ok(see("/admin?done=deleted")),
                Err(refusal @ EditRefusal::Changed) => {
                    let book = found(&desk, &request).await?;
                    delete_page(&desk, &book, StatusCode::CONFLICT, Some(&refusal.to_string()))
                }
                Err(refusal) => Err(desk.instead(&refusal.into())),
            }
        }
        .await,
    )
}
