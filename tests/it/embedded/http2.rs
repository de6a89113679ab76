//! The same over HTTP/2, where bodies have frames and a request can end without its connection.

use std::fs;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use crate::support::fronts::Fronts;
use crate::support::raw::tls_config;
use crate::support::site::digest;

const LOGIN: &str = "Basic dXNlcjpzZWNyZXQ=";

type Client = SendRequest<Bytes>;

/// Talks over one connection.
fn talk<T>(fronts: &Fronts, words: impl AsyncFnOnce(&mut Client) -> T) -> T {
    let address = fronts.gate.address_of(1);
    let config = tls_config(fronts.authority.ca(), &["h2"]);
    Runtime::new().unwrap().block_on(async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
        let name = "localhost".try_into().unwrap();
        let tls = connector.connect(name, tcp).await.unwrap();
        let (mut client, connection) = h2::client::handshake(tls).await.unwrap();
        let driver = tokio::spawn(connection);
        let said = words(&mut client).await;
        driver.abort();
        said
    })
}

fn request(method: &str, path: &str) -> http::request::Builder {
    Request::builder()
        .method(Method::from_bytes(method.as_bytes()).unwrap())
        .uri(format!("https://gate{path}"))
        .header("authorization", LOGIN)
}

/// One request and its answer; the body may break off.
async fn ask(
    client: &mut Client,
    request: http::request::Builder,
    pieces: &[&[u8]],
) -> (StatusCode, HeaderMap, Result<Vec<u8>, h2::Error>) {
    let request = request.body(()).unwrap();
    *client = client.clone().ready().await.unwrap();
    let (answer, mut body) = client.send_request(request, pieces.is_empty()).unwrap();
    for (n, piece) in pieces.iter().enumerate() {
        let last = n + 1 == pieces.len();
        body.send_data(Bytes::copy_from_slice(piece), last).unwrap();
    }
    let (head, mut body) = answer.await.unwrap().into_parts();
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => {
                body.flow_control().release_capacity(data.len()).unwrap();
                all.extend_from_slice(&data);
            }
            Err(error) => return (head.status, head.headers, Err(error)),
        }
    }
    (head.status, head.headers, Ok(all))
}

async fn begin(client: &mut Client) -> String {
    let (status, headers, _) = ask(client, request("POST", "/v2/a/blobs/uploads/"), &[]).await;
    assert_eq!(status, 202);
    let location = headers["location"].to_str().unwrap();
    location.strip_prefix("https://gate").unwrap().to_owned()
}

#[test]
fn a_blob_is_pushed_and_pulled_over_http_2() {
    let fronts = Fronts::embedded();
    talk(&fronts, async |client| {
        let path = begin(client).await;
        let chunk = request("PATCH", &path).header("content-range", "0-4");
        let (status, headers, _) = ask(client, chunk, &[b"01", b"234"]).await;
        assert_eq!(status, 202);
        assert_eq!(headers["range"], "0-4");
        // A place that does not fit is told before the body is wanted.
        let chunk = request("PATCH", &path).header("content-range", "9-10");
        let (status, headers, body) = ask(client, chunk, &[b"xx"]).await;
        assert_eq!(status, 416);
        assert_eq!(headers["range"], "0-4");
        let body = String::from_utf8(body.unwrap()).unwrap();
        assert!(body.contains("BLOB_UPLOAD_INVALID"), "{body}");
        let blob = digest(b"0123456789");
        let put = request("PUT", &format!("{path}?digest={blob}"));
        let (status, headers, _) = ask(client, put, &[b"56789"]).await;
        assert_eq!(status, 201);
        assert_eq!(headers["docker-content-digest"], blob);
        let at = format!("/v2/a/blobs/{blob}");
        let (status, headers, body) = ask(client, request("GET", &at), &[]).await;
        assert_eq!(
            (status.as_u16(), &*body.unwrap()),
            (200, &b"0123456789"[..])
        );
        assert_eq!(headers["content-length"], "10");
        let (_, headers, body) = ask(client, request("HEAD", &at), &[]).await;
        assert_eq!(headers["content-length"], "10");
        assert_eq!(body.unwrap().len(), 0);
        let part = request("GET", &at).header("range", "bytes=2-3");
        let (status, headers, body) = ask(client, part, &[]).await;
        assert_eq!((status.as_u16(), &*body.unwrap()), (206, &b"23"[..]));
        assert_eq!(headers["content-range"], "bytes 2-3/10");
        let same = request("GET", &at).header("if-none-match", format!("\"{blob}\""));
        let (status, _, body) = ask(client, same, &[]).await;
        assert_eq!((status.as_u16(), body.unwrap().len()), (304, 0));
    });
}

#[test]
fn h12_n36_an_upload_that_is_reset_is_kept_as_far_as_it_came() {
    let fronts = Fronts::embedded();
    talk(&fronts, async |client| {
        let path = begin(client).await;
        *client = client.clone().ready().await.unwrap();
        let chunk = request("PATCH", &path).body(()).unwrap();
        let (answer, mut body) = client.send_request(chunk, false).unwrap();
        body.send_data(Bytes::from_static(b"01234"), false).unwrap();
        // The connection stays, and other requests on it see how far the upload has come.
        let mut other = client.clone();
        let mut kept = async || {
            let (_, headers, _) = ask(&mut other, request("GET", &path), &[]).await;
            headers["range"] == "0-4"
        };
        assert!(!kept().await, "nothing is saved while it comes");
        body.send_reset(h2::Reason::CANCEL);
        drop(answer);
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
        while !kept().await {
            assert!(tokio::time::Instant::now() < end, "it was not kept");
        }
    });
}

#[test]
fn g6_a_blob_that_is_cut_off_in_the_store_resets_its_stream() {
    let fronts = Fronts::embedded();
    let content = vec![b'x'; 8 << 20];
    let blob = digest(&content);
    let (_, hex) = blob.split_once(':').unwrap();
    let file = fronts.gate.dir().join(format!(
        "dockgate-data/registry/docker/registry/v2/blobs/sha256/{}/{hex}/data",
        &hex[..2]
    ));
    talk(&fronts, async |client| {
        let path = begin(client).await;
        let put = request("PUT", &format!("{path}?digest={blob}"));
        let (status, ..) = ask(client, put, &[&content]).await;
        assert_eq!(status, 201);
        *client = client.clone().ready().await.unwrap();
        let get = request("GET", &format!("/v2/a/blobs/{blob}"))
            .body(())
            .unwrap();
        let (answer, _) = client.send_request(get, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        // The window of the stream is full; the rest is not read yet.
        let file = fs::OpenOptions::new().write(true).open(&file).unwrap();
        file.set_len(content.len() as u64 - 1).unwrap();
        let mut got = 0;
        let error = loop {
            match body.data().await {
                Some(Ok(data)) => {
                    got += data.len();
                    body.flow_control().release_capacity(data.len()).unwrap();
                }
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        assert!(got < content.len());
        assert!(error.is_some_and(|error| error.is_reset()), "after {got}");
        // The others on this connection are served.
        let (status, ..) = ask(client, request("GET", "/v2/"), &[]).await;
        assert_eq!(status, 200);
    });
}
