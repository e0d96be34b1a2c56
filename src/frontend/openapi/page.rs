//! `/docs`: the description as a page to read, and to try.
//!
//! It is made from the same document that programs get, on the server, so that it reads without a script. The
//! script only sends what a form says and shows what comes back.

use crate::pages::{Asset, Page, Section};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use maud::{Markup, PreEscaped, html};
use pulldown_cmark::{Options, Parser};
use serde_json::{Map, Value};

pub static STYLE: Asset = Asset::css("docs", include_str!("page/docs.css"));
pub static SCRIPT: Asset = Asset::js("docs", include_str!("page/docs.js"));

/// The content of the page, made once.
pub struct Docs(String);

impl Docs {
    pub fn new(document: &utoipa::openapi::OpenApi) -> Self {
        // A document is strings, numbers and maps with names: it always serializes.
        let document = serde_json::to_value(document).unwrap_or_default();
        Self(page(&document).into_string())
    }

    pub fn answer(&self) -> HttpResponse {
        let page = Page {
            title: "API",
            section: Section::Api,
            words: "",
            styles: &[&STYLE],
            scripts: &[&SCRIPT],
            main: PreEscaped(self.0.clone()),
        };
        page.answer(StatusCode::OK)
    }
}

/// One operation of the document.
struct Operation<'a> {
    method: String,
    path: &'a str,
    told: &'a Value,
}

impl Operation<'_> {
    fn id(&self) -> &str {
        text(&self.told["operationId"])
    }

    fn is_guarded(&self) -> bool {
        !self.told["security"].is_null()
    }

    /// Whether its answer does not end.
    fn goes_on(&self) -> bool {
        !self.told["responses"]["200"]["content"]["text/event-stream"].is_null()
    }

    fn belongs_to(&self, tag: &Value) -> bool {
        self.told["tags"][0] == tag["name"]
    }
}

fn page(document: &Value) -> Markup {
    let operations: Vec<Operation<'_>> = members(&document["paths"])
        .flat_map(|(path, item)| {
            members(item).map(move |(method, told)| Operation { method: method.to_uppercase(), path, told })
        })
        .collect();
    let tags: Vec<&Value> = document["tags"].as_array().into_iter().flatten().collect();
    let of = |tag| operations.iter().filter(move |operation| operation.belongs_to(tag));
    html! {
        div.docs {
            nav.contents aria-label="Operations" {
                @for tag in &tags {
                    h2 { (text(&tag["name"])) }
                    ul {
                        @for operation in of(tag) {
                            li { a href={ "#" (operation.id()) } { (text(&operation.told["summary"])) } }
                        }
                    }
                }
                h2 { a href="#bodies" { "bodies" } }
            }
            div.told {
                h1 { "The API" }
                (markdown(&document["info"]["description"]))
                p {
                    "The same for programs, OpenAPI 3.1: " a href="/openapi.json" { "/openapi.json" }
                    " (without a store: " code { "bazar openapi" } ")."
                }
                @for tag in &tags {
                    h2 { (capital(text(&tag["name"]))) }
                    (markdown(&tag["description"]))
                    @for operation in of(tag) { (section(operation)) }
                }
                h2 #bodies { "Bodies" }
                @for (name, schema) in members(&document["components"]["schemas"]) {
                    section.card id={ "body-" (name) } {
                        h3 { (name) }
                        (markdown(&schema["description"]))
                        (structure(schema))
                    }
                }
            }
        }
    }
}

fn section(operation: &Operation<'_>) -> Markup {
    let told = operation.told;
    let parameters: Vec<&Value> = told["parameters"].as_array().into_iter().flatten().collect();
    let body = Body::of(operation);
    html! {
        section.card.operation id=(operation.id()) {
            h3 { (text(&told["summary"])) }
            p.route { span.method { (operation.method) } " " code { (broken(operation.path)) } }
            (markdown(&told["description"]))
            @if operation.is_guarded() { p { "Needs the admin token." } }
            @if !parameters.is_empty() {
                div.scroll tabindex="0" role="region" aria-label="Parameters" {
                    table {
                        thead { tr { th { "Parameter" } th { "In" } th { "What it is" } } }
                        tbody {
                            @for parameter in &parameters {
                                tr {
                                    td { code { (text(&parameter["name"])) } @if parameter["required"] == true { " *" } }
                                    td { (text(&parameter["in"])) }
                                    td { (markdown(&parameter["description"])) span.soft { (kind(&parameter["schema"])) } }
                                }
                            }
                        }
                    }
                }
            }
            @for (content_type, content) in members(&told["requestBody"]["content"]) {
                p { "Body: " code { (content_type) } " " (kind(&content["schema"])) }
            }
            (answers(&told["responses"]))
            // Without a script, there is the command line.
            pre.command { code { (command(operation, body.as_ref())) } }
            // The script waits for the end of an answer.
            @if !operation.goes_on() { (form(operation, &parameters, body.as_ref())) }
        }
    }
}

/// Status by status: what it means, with its headers and an example of each body.
fn answers(responses: &Value) -> Markup {
    html! {
        details {
            summary { "Answers: " @for (status, _) in members(responses) { span.status { (status) } " " } }
            dl.answers {
                @for (status, response) in members(responses) {
                    dt { span.status { (status) } " " (markdown_inline(&response["description"])) }
                    dd {
                        @for (content_type, content) in members(&response["content"]) {
                            p { code { (content_type) } " " (kind(&content["schema"])) }
                            @for (_, example) in members(&content["examples"]) {
                                p.soft { code { (text(&example["value"]["code"])) } ": " (text(&example["value"]["error"])) }
                            }
                        }
                        @if !response["headers"].is_null() {
                            ul.headers {
                                @for (name, header) in members(&response["headers"]) {
                                    li { code { (name) } " " (markdown_inline(&header["description"])) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What the script sends.
fn form(operation: &Operation<'_>, parameters: &[&Value], body: Option<&Body<'_>>) -> Markup {
    let id = operation.id();
    html! {
        form.try hidden data-method=(operation.method) data-path=(operation.path)
            data-type=[body.map(|body| body.content_type)] {
            @if operation.is_guarded() {
                div.field {
                    label for={ (id) "-Authorization" } { "Authorization" }
                    input id={ (id) "-Authorization" } name="Authorization" data-in="header" type="password"
                        autocomplete="off" placeholder="Bearer …" required;
                }
            }
            @for parameter in parameters {
                @let name = text(&parameter["name"]);
                @let field = format!("{id}-{name}");
                @let schema = &parameter["schema"];
                div.field {
                    label for=(field) { (name) }
                    @if let Some(words) = schema["enum"].as_array() {
                        select id=(field) name=(name) data-in=(text(&parameter["in"])) {
                            option value="" { "" }
                            @for word in words { option { (text(word)) } }
                        }
                    } @else {
                        input id=(field) name=(name) data-in=(text(&parameter["in"])) autocomplete="off"
                            placeholder=(example(schema)) required[parameter["required"] == true]
                            value=[(parameter["required"] == true).then(|| example(schema))];
                    }
                }
            }
            @if let Some(body) = body {
                div.field {
                    label for={ (id) "-body" } { "Body" }
                    textarea id={ (id) "-body" } rows="3" spellcheck="false" { (body.example) }
                }
            }
            div.actions {
                button type="submit" { "Try it" }
                @if operation.method != "GET" { span.soft { "This really happens." } }
            }
            div.came role="status" hidden {
                p { span.status {} " " span.soft {} }
                pre.sent { code {} }
                pre.back tabindex="0" { code {} }
            }
        }
    }
}

/// A request's body, in the first of its types that has an example.
struct Body<'a> {
    content_type: &'a str,
    example: String,
}

impl<'a> Body<'a> {
    fn of(operation: &Operation<'a>) -> Option<Self> {
        let mut contents = members(&operation.told["requestBody"]["content"]);
        let (content_type, content) = contents.find(|(_, content)| !content["example"].is_null())?;
        Some(Self { content_type, example: plain(&content["example"]) })
    }
}

/// With the examples of what is needed.
fn command(operation: &Operation<'_>, body: Option<&Body<'_>>) -> String {
    let parameters = operation.told["parameters"].as_array().into_iter().flatten();
    let (mut path, mut query, mut headers) = (operation.path.to_owned(), Vec::new(), String::new());
    if operation.is_guarded() {
        headers += " \\\n  -H 'Authorization: Bearer …'";
    }
    for parameter in parameters.filter(|parameter| parameter["required"] == true) {
        let (name, example) = (text(&parameter["name"]), example(&parameter["schema"]));
        match text(&parameter["in"]) {
            "path" => path = path.replace(&format!("{{{name}}}"), &example),
            "header" => headers += &format!(" \\\n  -H '{name}: {example}'"),
            _ => query.push(format!("{name}={}", example.replace(' ', "+"))),
        }
    }
    if !query.is_empty() {
        path = format!("{path}?{}", query.join("&"));
    }
    let method = match operation.method.as_str() {
        "GET" => String::new(),
        // What has a body is posted.
        "POST" if body.is_some() => String::new(),
        method => format!(" -X {method}"),
    };
    let flags = if operation.goes_on() { "-iN" } else { "-i" };
    let body = body.map(|Body { content_type, example }| {
        format!(" \\\n  -H 'Content-Type: {content_type}' --data-binary '{}'", example.trim_end())
    });
    format!("curl {flags}{method} 'http://127.0.0.1:8083{path}'{headers}{}", body.unwrap_or_default())
}

/// The members of an object, or its spellings.
fn structure(schema: &Value) -> Markup {
    html! {
        @for spelling in schema["oneOf"].as_array().into_iter().flatten() {
            h4 { (capital(text(&spelling["title"]))) }
            (markdown(&spelling["description"]))
            (structure(spelling))
        }
        @if schema["properties"].is_object() {
            div.scroll tabindex="0" role="region" aria-label="Members" {
                table {
                    thead { tr { th { "Member" } th { "What it is" } } }
                    tbody {
                        // What must be left out in this spelling is no member of it.
                        @for (name, property) in members(&schema["properties"]).filter(|(_, p)| p["type"] != "null") {
                            tr {
                                td { code { (name) } @if required(schema, name) { " *" } }
                                td { (markdown(&property["description"])) span.soft { (kind(property)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn required(schema: &Value, name: &str) -> bool {
    schema["required"].as_array().is_some_and(|names| names.iter().any(|known| known == name))
}

/// The type of a value, with its bounds, in a few words.
fn kind(schema: &Value) -> Markup {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return html! { a href={ "#body-" (name) } { (name) } };
    }
    if let Some(either) = schema["oneOf"].as_array() {
        return html! { @for (at, one) in either.iter().enumerate() { @if at > 0 { " or " } (kind(one)) } };
    }
    if let Some(all) = schema["allOf"].as_array() {
        // Those without a name only narrow the others.
        let named: Vec<Markup> = all.iter().filter(|part| part["$ref"].is_string()).map(kind).collect();
        return html! { @for (at, part) in named.iter().enumerate() { @if at > 0 { " and " } (part) } };
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.iter().map(text).collect::<Vec<_>>().join(" or "),
        one => text(one).to_owned(),
    };
    let number = |name: &str| schema[name].as_f64().map(|number| number.to_string());
    html! {
        (types)
        @if schema["items"].is_object() { " of " (kind(&schema["items"])) }
        @if let Some(words) = schema["enum"].as_array() {
            ": " (words.iter().map(|word| word.as_str().map_or_else(|| word.to_string(), str::to_owned)).collect::<Vec<_>>().join(", "))
        }
        @match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => { ", " (least) " to " (most) },
            (Some(least), None) => { ", at least " (least) },
            _ => {},
        }
        @if let Some(most) = number("maxLength") { ", at most " (most) " characters" }
        @if !schema["default"].is_null() { ", " (schema["default"]) " unless given" }
        @if !schema["examples"].is_null() { "; as " code { (example(schema)) } }
    }
}

fn example(schema: &Value) -> String {
    match &schema["items"] {
        Value::Null => plain(&schema["examples"][0]),
        items => plain(&items["examples"][0]),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// May be broken behind each slash.
fn broken(path: &str) -> Markup {
    html! { @for part in path.split_inclusive('/') { (part) wbr; } }
}

fn members(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object.as_object().into_iter().flat_map(Map::iter).map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Our own text: nothing in it comes from outside.
fn markdown(source: &Value) -> Markup {
    let mut markup = String::new();
    pulldown_cmark::html::push_html(&mut markup, Parser::new_ext(text(source), Options::empty()));
    PreEscaped(markup)
}

/// Without the paragraph around it.
fn markdown_inline(source: &Value) -> Markup {
    let PreEscaped(markup) = markdown(source);
    let inner = markup.trim().strip_prefix("<p>").and_then(|rest| rest.strip_suffix("</p>"));
    PreEscaped(inner.map(str::to_owned).unwrap_or(markup))
}
