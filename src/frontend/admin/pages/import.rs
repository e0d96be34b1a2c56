//! The page that takes in a file.

use super::desk::{AtDesk, at_desk};
use super::frame::{page, sentence};
use crate::frontend::admin::{Admin, TakenIn};
use crate::intake::Rules;
use crate::wire::{ErrorCode, Problem};
use actix_multipart::{Field, Multipart};
use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt, stream};
use maud::{Markup, html};
use std::time::Duration;

/// A field of the form that is not the file.
const MAX_FIELD: usize = 256;

/// For the fields before the file.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn form(admin: Data<Admin>, request: HttpRequest) -> HttpResponse {
    match at_desk(&admin, &request) {
        Ok(desk) => import_page(&desk, StatusCode::OK, &html! {}),
        Err(door) => door.into(),
    }
}

fn import_page(desk: &AtDesk, status: StatusCode, told: &Markup) -> HttpResponse {
    // The file is the last field: what comes before it says what is to be done with it.
    let main = html! {
        h1 { "Import" }
        (told)
        form.card.narrow method="post" action="/admin/import" enctype="multipart/form-data" {
            (desk.secret())
            p {
                "CSV or JSON Lines, packed by gzip or not. The first line of CSV names the columns: title, topic, \
                 stock, price in dollars, and id if there is one. A line with an id takes the place of the book \
                 under that id; a line without one is a new book. A file that comes again is not imported twice."
            }
            p.choice {
                input #strict type="checkbox" name="strict" value="true";
                label for="strict" { "End at the first line that is no book" }
            }
            p.choice {
                input #dry-run type="checkbox" name="dry-run" value="true";
                label for="dry-run" { "Only check" }
            }
            div.field {
                label for="file" { "File" }
                input #file type="file" name="file" required;
            }
            button type="submit" { "Import" }
        }
    };
    page(desk, "/admin/import", "Import", status, &main)
}

pub async fn import(admin: Data<Admin>, request: HttpRequest, form: Multipart) -> HttpResponse {
    let desk = match at_desk(&admin, &request) {
        Ok(desk) => desk,
        Err(door) => return door.into(),
    };
    match taken_in(&desk, form).await {
        Ok(taken_in) => import_page(&desk, StatusCode::OK, &told(&taken_in)),
        Err(problem) if matches!(problem.code, ErrorCode::Forbidden | ErrorCode::Unavailable) => {
            desk.wrong(&problem)
        }
        Err(problem) => {
            let told = html! { div.notice.bad role="alert" { p { (sentence(&problem.error)) } } };
            let status = StatusCode::from_u16(problem.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
            import_page(&desk, status, &told)
        }
    }
}

async fn taken_in(desk: &AtDesk, mut form: Multipart) -> Result<TakenIn, Problem> {
    let invalid = |sentence: &str| Problem::new(ErrorCode::InvalidRequest, sentence);
    let (mut rules, mut dry_run, mut ours) = (Rules::default(), false, false);
    loop {
        let field = tokio::time::timeout(PATIENCE, form.next()).await;
        let field = field.map_err(|_| Problem::from(ErrorCode::RequestTimeout))?;
        let mut field =
            field.ok_or_else(|| invalid("there is no file"))?.map_err(|_| invalid("the form broke off"))?;
        match field.name() {
            Some("secret") => {
                desk.is_ours(&short(&mut field).await?)?;
                ours = true;
            }
            Some("strict") => rules.strict = short(&mut field).await? == "true",
            Some("dry-run") => dry_run = short(&mut field).await? == "true",
            Some("file") if ours => {
                let body = stream::unfold((form, field), |(form, mut field)| async move {
                    let piece = field.next().await?;
                    Some((piece, (form, field)))
                });
                return desk.admin.import(desk.actor.clone(), body, rules, dry_run).await;
            }
            _ => return Err(ErrorCode::Forbidden.into()),
        }
    }
}

async fn short(field: &mut Field) -> Result<String, Problem> {
    let read = tokio::time::timeout(PATIENCE, field.bytes(MAX_FIELD)).await;
    let bytes = read.ok().and_then(Result::ok).and_then(Result::ok);
    let text = bytes.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    text.ok_or_else(|| Problem::new(ErrorCode::InvalidRequest, "the form broke off"))
}

fn told(TakenIn { sum, rejects, dry_run }: &TakenIn) -> Markup {
    let books = sum.lines - sum.bad;
    html! {
        div class={ "notice " (if sum.bad == 0 { "good" } else { "warn" }) } role="status" {
            @if *dry_run {
                p { (books) " lines are books. Nothing was imported." }
            } @else {
                p {
                    (books) " lines are books: " (sum.created) " are new, " (sum.changed) " changed, "
                    (sum.unchanged) " were there just so."
                    @if sum.before > 0 { " " (sum.before) " lines were imported before, and not again." }
                }
            }
            @if sum.bad > 0 {
                p { (sum.bad) " lines are no books" @if sum.bad > rejects.len() as u64 { ", of which these are the first" } ":" }
                ul.rejects { @for (line, reason) in rejects { li { "line " (line) ": " (reason) } } }
            }
        }
    }
}
