//! Tags on an S3 object: `PutObjectTagging`, for which `object_store` has no call.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest as _, Md5};
use object_store::aws::AmazonS3;
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer as _};
use object_store::{Error, Result};

use super::headers::Dress;

/// Sets the tags of objects in one bucket.
#[derive(Debug)]
pub(super) struct Tagger {
    /// Knows where an object is.
    pub(super) store: Arc<AmazonS3>,
    /// Signs and sends.
    pub(super) dress: Dress,
    /// How often it is tried.
    pub(super) attempts: u32,
}

impl Tagger {
    /// Puts `tags` in place of those that the object has; one request.
    ///
    /// # Errors
    /// As any request of the store.
    pub(super) async fn put(&self, path: &Path, tags: &[(String, String)]) -> Result<()> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Generic { store: "S3", source };
        let body = tagging(tags);
        // The store's own way from a name to a URL; its signature is not used.
        let options = SignedUrlOptions::default().with_query([("tagging", "")]);
        let mut url = self.store.signed_url_opts(reqwest::Method::PUT, path, Duration::from_secs(60), &options).await?;
        url.set_query(Some("tagging="));
        let mut request = HttpRequest::new(HttpRequestBody::from(body.clone()));
        *request.method_mut() = reqwest::Method::PUT;
        *request.uri_mut() = url.as_str().parse().map_err(|error| failed(Box::new(error)))?;
        let md5 = BASE64_STANDARD.encode(Md5::digest(body.as_bytes()));
        for (name, value) in [("content-type", "application/xml"), ("content-md5", md5.as_str())] {
            request.headers_mut().insert(name, value.parse().map_err(|error| failed(Box::new(error)))?);
        }
        request.headers_mut().insert("content-length", body.len().into());
        let answer = self.dress.send(request).await.map_err(|error| failed(Box::new(error)))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let text = answer.into_body().bytes().await.map_err(|error| failed(Box::new(error)))?;
        Err(failed(format!("Server returned non-2xx status code: {status}: {}", String::from_utf8_lossy(&text)).into()))
    }
}

/// The body of the request.
fn tagging(tags: &[(String, String)]) -> String {
    let mut xml = String::from(r#"<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>"#);
    for (key, value) in tags {
        xml.extend(["<Tag><Key>", &escaped(key), "</Key><Value>", &escaped(value), "</Value></Tag>"]);
    }
    xml.push_str("</TagSet></Tagging>");
    xml
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&apos;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_as_xml() {
        let tags = [("startOffset".to_owned(), "0".to_owned()), ("a<b&c".to_owned(), "\"ü\"".to_owned())];
        assert_eq!(
            tagging(&tags),
            "<Tagging xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><TagSet><Tag><Key>startOffset</Key><Value>0</Value></Tag>\
             <Tag><Key>a&lt;b&amp;c</Key><Value>&quot;ü&quot;</Value></Tag></TagSet></Tagging>"
        );
    }
}
