//! Lists objects page by page.
//!
//! ## Guarantees
//! At most one page is in memory beside what the caller keeps. A list that expires between two
//! pages (410) begins again, at most [`TRIES`] times.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::api::{GetParams, ListParams};
use kube::core::Request;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cluster::Cluster;
use crate::cluster::error::{self, Asked, Error};

/// Maximum number of objects in one answer. kubectl asks for the same number.
pub const PAGE: u32 = 500;

/// How often a list begins.
const TRIES: usize = 3;

#[derive(Deserialize)]
struct Page<T> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default = "Vec::new")]
    items: Vec<T>,
}

/// Which objects.
#[derive(Clone, Copy)]
pub struct Query<'a> {
    pub asked: Asked,
    /// For example `/api/v1/nodes`.
    pub path: &'a str,
    /// A label selector.
    pub labels: Option<&'a str>,
    /// A field selector.
    pub fields: Option<&'a str>,
    /// Asks for nothing but metadata.
    pub is_metadata: bool,
}

impl<'a> Query<'a> {
    /// All objects at this path.
    pub const fn all(asked: Asked, path: &'a str) -> Self {
        Self { asked, path, labels: None, fields: None, is_metadata: false }
    }
}

impl Cluster {
    /// All objects of the query, each as `keep` leaves it.
    pub async fn list<T, K>(&self, query: Query<'_>, keep: impl Fn(T) -> K) -> Result<Vec<K>, Error>
    where
        T: DeserializeOwned,
    {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            match self.list_once(query, &keep).await {
                Err(Error::Expired(_)) if tries > 0 => {}
                result => return result,
            }
        }
    }

    async fn list_once<T, K>(
        &self,
        query: Query<'_>,
        keep: impl Fn(T) -> K,
    ) -> Result<Vec<K>, Error>
    where
        T: DeserializeOwned,
    {
        let mut kept = Vec::new();
        let mut params = ListParams::default().limit(PAGE);
        if let Some(labels) = query.labels {
            params = params.labels(labels);
        }
        if let Some(fields) = query.fields {
            params = params.fields(fields);
        }
        loop {
            let page: Page<T> = self.page(query, &params).await?;
            kept.extend(page.items.into_iter().map(&keep));
            let left = page.metadata.remaining_item_count;
            self.progress.note(query.asked.resource, kept.len(), left);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(kept),
            }
        }
    }

    async fn page<T>(&self, query: Query<'_>, params: &ListParams) -> Result<Page<T>, Error>
    where
        T: DeserializeOwned,
    {
        let invalid = |error: String| Error::Answer(query.asked, error);
        let request = Request::new(query.path);
        let request =
            if query.is_metadata { request.list_metadata(params) } else { request.list(params) };
        let request = request.map_err(|error| invalid(error.to_string()))?;
        self.client.request(request).await.map_err(|error| match (&error, query.labels) {
            (kube::Error::Api(status), Some(labels)) if status.code == 400 => {
                Error::Selector(labels.to_owned(), error::shorten(&status.message))
            }
            _ => Error::of(&error, query.asked, &self.context.server),
        })
    }

    /// One object, or `None` where it is not there.
    pub async fn get<T>(&self, asked: Asked, path: &str, name: &str) -> Result<Option<T>, Error>
    where
        T: DeserializeOwned,
    {
        let invalid = |error: String| Error::Answer(asked, error);
        let request = Request::new(path).get(name, &GetParams::default());
        let request = request.map_err(|error| invalid(error.to_string()))?;
        match self.client.request(request).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(Error::of(&error, asked, &self.context.server)),
        }
    }
}
