//! What types of our own need so that stores hold them.

/// The store holds objects of this kind as they are.
macro_rules! stored_as_it_is {
    () => {
        type Stored = Self;

        fn store(
            writer: &mut kube_runtime::reflector::store::Writer<Self>,
            event: &kube_runtime::watcher::Event<Self>,
        ) {
            writer.apply_watcher_event(event);
        }

        fn unpack(stored: &Self) -> Self {
            stored.clone()
        }
    };
}
pub(super) use stored_as_it_is;

/// A type of ours with `metadata` is that resource of the API, of which it holds a part.
macro_rules! resource_as {
    ($ours:ty, $api:ty, $dynamic:ty) => {
        impl kube::Resource for $ours {
            type DynamicType = $dynamic;
            type Scope = <$api as kube::Resource>::Scope;

            fn kind(dynamic: &$dynamic) -> std::borrow::Cow<'_, str> {
                <$api as kube::Resource>::kind(dynamic)
            }

            fn group(dynamic: &$dynamic) -> std::borrow::Cow<'_, str> {
                <$api as kube::Resource>::group(dynamic)
            }

            fn version(dynamic: &$dynamic) -> std::borrow::Cow<'_, str> {
                <$api as kube::Resource>::version(dynamic)
            }

            fn plural(dynamic: &$dynamic) -> std::borrow::Cow<'_, str> {
                <$api as kube::Resource>::plural(dynamic)
            }

            fn meta(&self) -> &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &self.metadata
            }

            fn meta_mut(
                &mut self,
            ) -> &mut k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
pub(crate) use resource_as;
