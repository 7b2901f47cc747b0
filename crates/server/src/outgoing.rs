//! Posts forms to authorization servers of others, by the client that is proof against SSRF.

use async_trait::async_trait;
use bailiwick_fetch::Fetcher;
use bailiwick_model::secret::Secret;
use bailiwick_oauth::foreign_grant::ANSWER_BYTES_MAX;
use bailiwick_ports::connections::{Answered, FormPosts, NoAnswer};
use http::{HeaderMap, HeaderValue, header};
use url::Url;

/// The fetcher as the use cases see it.
pub(crate) struct Outgoing(pub(crate) Fetcher);

#[async_trait]
impl FormPosts for Outgoing {
    async fn post(
        &self,
        url: &Url,
        form: &[(&'static str, Secret<String>)],
        authorization: Option<&Secret<String>>,
    ) -> Result<Answered, NoAnswer> {
        let mut headers = HeaderMap::new();
        if let Some(authorization) = authorization {
            let value = HeaderValue::from_str(authorization.expose());
            let mut value = value.map_err(|_| NoAnswer("the client's secret fits into no header".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.expose().as_str())).collect();
        let fetched = self.0.post_form(url, &form, headers, ANSWER_BYTES_MAX).await;
        let fetched = fetched.map_err(|error| NoAnswer(error.to_string()))?;
        Ok(Answered { status: fetched.status, body: Secret::new(fetched.body.to_vec()) })
    }
}
