//! Between the HTTP library of the connections (hyper, the crate `http` 1) and that of the routes (actix-web, `http`
//! 0.2): a request over, a reply back. Nothing is judged here.

use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use actix_http::{HttpMessage as _, Request};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, Service, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{ConnectionType, Method, Uri, Version};
use actix_web::{Error, HttpResponse};
use bytes::{Buf, Bytes};
use futures_util::Stream;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONNECTION, HeaderValue as OutValue};

use super::connection::Facts;
use super::pace::{OpenCall, OpenReply};

/// Answers a request by the routes.
pub(super) async fn call<S>(
    routes: Rc<S>,
    facts: Rc<Facts>,
    request: hyper::Request<Incoming>,
    open: OpenCall,
) -> Result<hyper::Response<ReplyBody>, io::Error>
where
    S: Service<Request, Response = ServiceResponse<BoxBody>, Error = Error>,
{
    let version = request.version();
    let reply = match routes.call(inward(request, facts)).await {
        Ok(reply) => reply.into_parts().1,
        Err(error) => error.error_response(),
    };
    outward(reply, version, open)
}

/// What has no form in the older library is given one that no route takes.
fn inward(request: hyper::Request<Incoming>, facts: Rc<Facts>) -> Request {
    let (head, body) = request.into_parts();
    let payload: Payload = if body.is_end_stream() {
        Payload::None
    } else {
        Payload::Stream { payload: Box::pin(RequestBody(body)) }
    };
    let mut request = Request::with_payload(payload);
    let inward = request.head_mut();
    inward.method = Method::from_bytes(head.method.as_str().as_bytes()).unwrap_or(Method::TRACE);
    let path = head.uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
    inward.uri = path.parse().unwrap_or_else(|_| Uri::from_static("/"));
    inward.version = if head.version == hyper::Version::HTTP_2 { Version::HTTP_2 } else { Version::HTTP_11 };
    for (name, value) in &head.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            inward.headers.append(name, value);
        }
    }
    request.extensions_mut().insert(facts);
    request
}

fn outward(
    reply: HttpResponse<BoxBody>,
    version: hyper::Version,
    open: OpenCall,
) -> Result<hyper::Response<ReplyBody>, io::Error> {
    let (head, body) = reply.into_parts();
    let mut outward = hyper::Response::builder().status(head.status().as_u16());
    for (name, value) in head.headers() {
        outward = outward.header(name.as_str(), value.as_bytes());
    }
    let closes = head.head().connection_type() == ConnectionType::Close;
    // HTTP/2 has no such header (RFC 9113, section 8.2.2).
    if closes && version != hyper::Version::HTTP_2 {
        outward = outward.header(CONNECTION, OutValue::from_static("close"));
    }
    outward.body(ReplyBody::new(body, open)).map_err(io::Error::other)
}

/// The body of a request on its way to a route.
struct RequestBody(Incoming);

impl Stream for RequestBody {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(Pin::new(&mut self.0).poll_frame(context)) {
                None => None,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    // Trailers say nothing that anybody here reads.
                    Err(_) => continue,
                },
                Some(Err(_)) => Some(Err(PayloadError::Incomplete(None))),
            });
        }
    }
}

/// The body of a reply; the call is open until all of it is written or dropped.
pub(super) struct ReplyBody {
    body: Part,
    reply: Rc<OpenReply>,
}

enum Part {
    Whole(Option<Bytes>),
    Stream(BoxBody),
}

impl ReplyBody {
    fn new(body: BoxBody, open: OpenCall) -> Self {
        let body = match body.size() {
            BodySize::None | BodySize::Sized(0) => Part::Whole(None),
            BodySize::Sized(_) | BodySize::Stream => match body.try_into_bytes() {
                Ok(bytes) => Part::Whole(Some(bytes)),
                Err(stream) => Part::Stream(stream),
            },
        };
        Self { body, reply: open.reply() }
    }

    fn piece(&self, bytes: Bytes) -> Frame<Piece> {
        self.reply.offer();
        Frame::data(Piece { bytes, reply: Rc::clone(&self.reply) })
    }
}

/// Bytes of a reply on their way to the socket, which tell the pace how the peer takes them: for a stream of HTTP/2
/// without a window they wait in the library, and nothing else shows it.
pub(super) struct Piece {
    bytes: Bytes,
    reply: Rc<OpenReply>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        self.reply.took_some();
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.reply.is_rid_of();
    }
}

impl Body for ReplyBody {
    type Data = Piece;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Self::Error>>> {
        let next = match &mut self.body {
            Part::Whole(bytes) => bytes.take().map(Ok),
            Part::Stream(stream) => ready!(Pin::new(stream).poll_next(context)),
        };
        Poll::Ready(next.map(|next| match next {
            Ok(bytes) => Ok(self.piece(bytes)),
            Err(error) => Err(error.to_string().into()),
        }))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.body, Part::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Part::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Part::Stream(stream) => match stream.size() {
                BodySize::Sized(length) => SizeHint::with_exact(length),
                BodySize::None => SizeHint::with_exact(0),
                BodySize::Stream => SizeHint::default(),
            },
        }
    }
}
