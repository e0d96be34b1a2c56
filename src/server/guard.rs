//! Who stands before the door of a listener that anybody may reach.

use actix_http::Request;
use actix_web::HttpResponse;
use actix_web::http::header::{HeaderMap, HeaderValue};
use std::any::Any;
use std::net::IpAddr;

/// What a connection holds as long as it lives.
pub type Place = Box<dyn Any>;

/// An answer for which nobody has to be asked.
pub struct AtTheDoor {
    pub answer: HttpResponse,
    /// The origin whose pages may read it.
    pub origin: Option<HeaderValue>,
}

/// Judges who comes, before anything is done for them.
pub trait Guard {
    /// `None`: there is no more place for connections of this client.
    fn admit(&self, peer: IpAddr) -> Option<Place>;

    /// The origin, if it is another one, whose pages may read the answer; or already the answer, mostly a refusal.
    fn judge(&self, request: &Request) -> Result<Option<HeaderValue>, Box<AtTheDoor>>;

    /// Puts on an answer what every answer carries. `origin` is what was judged.
    fn dress(&self, answer: &mut HeaderMap, origin: Option<HeaderValue>);
}
