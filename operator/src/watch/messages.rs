//! Reads Nodes, and the events of a watch, in the binary encoding of the API server.
//!
//! In: Protocol Buffers messages. Out: what the watches read of them: of a Node the same fields as of
//! its JSON ([`super::kept`]). The API server encodes a Node so in a fraction of the time that JSON
//! takes, and reading it skips what is not wanted. Only the API's own kinds have this encoding.
//!
//! Field numbers are those of generated.proto in k8s.io/api/core/v1 and
//! k8s.io/apimachinery/pkg/apis/meta/v1. The encoding of an object is described at
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding>.
//!
//! An empty text is a field that is not there, as in JSON.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Node, NodeAddress, NodeCondition, NodeSpec, NodeStatus, NodeSystemInfo, Taint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::api::WatchEvent;
use kube::core::Status;
use kube::core::metadata::TypeMeta;
use kube::core::watch::{Bookmark, BookmarkMeta};
use lsm_ready_crds::names;

use super::guard::Guard;
use super::kept::{INTERNAL_IP, Kept};
use crate::protobuf::{Fields, Malformed, Value};

/// How a kind is read from its message.
type Read<K> = fn(Fields<'_>) -> Result<K, Malformed>;

/// How an event of a watch is read from its message.
pub type Event<T> = fn(&[u8]) -> Result<WatchEvent<T>, Malformed>;

/// Begins every object that stands for itself.
const MAGIC: &[u8] = b"k8s\0";

/// A `WatchEvent` of meta/v1, as the API server sends it.
pub fn event<K: Kept>(message: &[u8], read: Read<K>) -> Result<WatchEvent<Guard<K>>, Malformed> {
    let (mut kind, mut object) = ("", None);
    for field in Fields(message) {
        match field? {
            (1, value) => kind = value.text()?,
            // A RawExtension. Its one field is the object.
            (2, value) => object = first(value.message()?, 1)?,
            _ => {}
        }
    }
    let object = contents(object.ok_or(Malformed)?.bytes()?)?;
    let read = |object| Ok(Guard::of(read(object)?));
    match kind {
        "ADDED" => Ok(WatchEvent::Added(read(object)?)),
        "MODIFIED" => Ok(WatchEvent::Modified(read(object)?)),
        "DELETED" => Ok(WatchEvent::Deleted(read(object)?)),
        "BOOKMARK" => Ok(WatchEvent::Bookmark(bookmark::<K>(object)?)),
        "ERROR" => Ok(WatchEvent::Error(Box::new(status(object)?))),
        _ => Err(Malformed),
    }
}

/// The object of a message that stands for itself: a `runtime.Unknown`, whose second field has it.
pub fn contents(message: &[u8]) -> Result<Fields<'_>, Malformed> {
    let message = message.strip_prefix(MAGIC).ok_or(Malformed)?;
    // An object without any field is left out.
    first(Fields(message), 2)?.map_or(Ok(Fields(&[])), Value::message)
}

/// A `Status` of meta/v1: why the API server does not do what it is asked for.
pub fn status(message: Fields<'_>) -> Result<Status, Malformed> {
    let mut status = Status::failure("", "");
    for field in message {
        match field? {
            (3, value) => value.text()?.clone_into(&mut status.message),
            (4, value) => value.text()?.clone_into(&mut status.reason),
            (6, value) => status.code = u16::try_from(value.number()?).map_err(|_| Malformed)?,
            _ => {}
        }
    }
    Ok(status)
}

/// A `Node` of core/v1.
pub fn node(message: Fields<'_>) -> Result<Node, Malformed> {
    let mut node = Node::default();
    for field in message {
        match field? {
            (1, value) => node.metadata = metadata(value.message()?)?,
            (2, value) => node.spec = Some(node_spec(value.message()?)?),
            (3, value) => node.status = Some(node_status(value.message()?)?),
            _ => {}
        }
    }
    Ok(node)
}

/// What identifies an object and its version, and its labels.
fn metadata(message: Fields<'_>) -> Result<ObjectMeta, Malformed> {
    let mut metadata = ObjectMeta::default();
    for field in message {
        match field? {
            (1, value) => metadata.name = present(value)?,
            (3, value) => metadata.namespace = present(value)?,
            (5, value) => metadata.uid = present(value)?,
            (6, value) => metadata.resource_version = present(value)?,
            (7, value) => {
                let generation = value.number()?.cast_signed();
                metadata.generation = (generation != 0).then_some(generation);
            }
            (8, value) => metadata.creation_timestamp = time(value)?,
            (9, value) => metadata.deletion_timestamp = time(value)?,
            (11, value) => {
                let (key, value) = entry(value)?;
                let labels = metadata.labels.get_or_insert_default();
                labels.insert(key.to_owned(), value.to_owned());
            }
            _ => {}
        }
    }
    Ok(metadata)
}

fn node_spec(message: Fields<'_>) -> Result<NodeSpec, Malformed> {
    let mut spec = NodeSpec::default();
    for field in message {
        if let (5, value) = field? {
            spec.taints.get_or_insert_default().push(taint(value.message()?)?);
        }
    }
    Ok(spec)
}

fn taint(message: Fields<'_>) -> Result<Taint, Malformed> {
    let mut taint = Taint::default();
    for field in message {
        match field? {
            (1, value) => value.text()?.clone_into(&mut taint.key),
            (2, value) => taint.value = present(value)?,
            (3, value) => value.text()?.clone_into(&mut taint.effect),
            (4, value) => taint.time_added = time(value)?,
            _ => {}
        }
    }
    Ok(taint)
}

/// Of conditions only ours, and of addresses only those at which agents are asked: a kubelet can
/// write very many of both.
fn node_status(message: Fields<'_>) -> Result<NodeStatus, Malformed> {
    let mut status = NodeStatus::default();
    for field in message {
        match field? {
            (4, value) if has_type(&value, names::NODE_CONDITION)? => {
                let condition = node_condition(value.message()?)?;
                status.conditions.get_or_insert_default().push(condition);
            }
            (5, value) if has_type(&value, INTERNAL_IP)? => {
                let address = node_address(value.message()?)?;
                status.addresses.get_or_insert_default().push(address);
            }
            (7, value) => status.node_info = Some(node_info(value.message()?)?),
            _ => {}
        }
    }
    Ok(status)
}

/// Whether the first field of the message, its type, is that text.
fn has_type(value: &Value<'_>, wanted: &str) -> Result<bool, Malformed> {
    Ok(first_text(value.message()?, 1)? == wanted)
}

fn node_condition(message: Fields<'_>) -> Result<NodeCondition, Malformed> {
    let mut condition = NodeCondition::default();
    for field in message {
        match field? {
            (1, value) => value.text()?.clone_into(&mut condition.type_),
            (2, value) => value.text()?.clone_into(&mut condition.status),
            (3, value) => condition.last_heartbeat_time = time(value)?,
            (4, value) => condition.last_transition_time = time(value)?,
            (5, value) => condition.reason = present(value)?,
            (6, value) => condition.message = present(value)?,
            _ => {}
        }
    }
    Ok(condition)
}

fn node_address(message: Fields<'_>) -> Result<NodeAddress, Malformed> {
    let mut address = NodeAddress::default();
    for field in message {
        match field? {
            (1, value) => value.text()?.clone_into(&mut address.type_),
            (2, value) => value.text()?.clone_into(&mut address.address),
            _ => {}
        }
    }
    Ok(address)
}

fn node_info(message: Fields<'_>) -> Result<NodeSystemInfo, Malformed> {
    Ok(NodeSystemInfo { boot_id: first_text(message, 3)?.to_owned(), ..Default::default() })
}

/// Of an object its version, and its annotations, one of which ends a streaming list.
fn bookmark<K: Kept>(object: Fields<'_>) -> Result<Bookmark, Malformed> {
    let (mut resource_version, mut annotations) = (String::new(), Vec::new());
    if let Some(metadata) = first(object, 1)? {
        for field in metadata.message()? {
            match field? {
                (6, value) => value.text()?.clone_into(&mut resource_version),
                (12, value) => annotations.push(entry(value)?),
                _ => {}
            }
        }
    }
    if resource_version.is_empty() {
        return Err(Malformed);
    }
    let owned = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let annotations = annotations.into_iter().map(owned).collect();
    let metadata = BookmarkMeta { resource_version, annotations };
    Ok(Bookmark { types: TypeMeta::resource::<K>(), metadata })
}

/// The first field with that number.
fn first(message: Fields<'_>, wanted: u64) -> Result<Option<Value<'_>>, Malformed> {
    for field in message {
        let (number, value) = field?;
        if number == wanted {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn first_text(message: Fields<'_>, wanted: u64) -> Result<&str, Malformed> {
    first(message, wanted)?.map_or(Ok(""), Value::text)
}

fn present(text: Value<'_>) -> Result<Option<String>, Malformed> {
    let text = text.text()?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// A `Time` of meta/v1. The zero of that type, which JSON shows as null, has no field.
fn time(message: Value<'_>) -> Result<Option<Time>, Malformed> {
    let seconds = first(message.message()?, 1)?.map_or(Ok(0), Value::number)?.cast_signed();
    let time = Timestamp::from_second(seconds).map_err(|_| Malformed)?;
    Ok((seconds != 0).then_some(Time(time)))
}

/// An entry of a map from texts to texts.
fn entry(message: Value<'_>) -> Result<(&str, &str), Malformed> {
    let (mut key, mut text) = ("", "");
    for field in message.message()? {
        match field? {
            (1, value) => key = value.text()?,
            (2, value) => text = value.text()?,
            _ => {}
        }
    }
    Ok((key, text))
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use proptest::prelude::*;
    use prost::encoding::{WireType, encode_key, encode_varint};

    use super::*;

    /// A field with bytes.
    fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
        let mut field = Vec::new();
        encode_key(number, WireType::LengthDelimited, &mut field);
        encode_varint(bytes.len() as u64, &mut field);
        [&field, bytes].concat()
    }

    fn number(number: u32, value: u64) -> Vec<u8> {
        let mut field = Vec::new();
        encode_key(number, WireType::Varint, &mut field);
        encode_varint(value, &mut field);
        field
    }

    /// An event with an object of one kind.
    fn message(kind: &str, object: &[u8]) -> Vec<u8> {
        let unknown = [field(1, &field(2, b"Kind")), field(2, object)].concat();
        let object = [b"k8s\0", &*unknown].concat();
        [field(1, kind.as_bytes()), field(2, &field(1, &object))].concat()
    }

    fn read(message: &[u8]) -> Result<WatchEvent<Guard<Node>>, Malformed> {
        event(message, node)
    }

    fn node_message() -> Vec<u8> {
        let metadata = [field(1, b"n1"), field(3, b""), number(7, 0), field(6, b"12")].concat();
        let metadata = [metadata, field(11, &[field(1, b"k"), field(2, b"")].concat())].concat();
        let ours = [field(1, names::NODE_CONDITION.as_bytes()), field(2, b"True"), field(5, b"")];
        let theirs = [field(1, b"Ready"), field(2, b"True")];
        let status = [field(4, &theirs.concat()), field(4, &ours.concat())].concat();
        let status = [status, field(7, &field(3, b"boot"))].concat();
        [field(1, &metadata), field(2, &[]), field(3, &status)].concat()
    }

    #[test]
    fn a_node_has_what_is_wanted_of_it() {
        let Ok(WatchEvent::Added(Guard(Ok(node)))) = read(&message("ADDED", &node_message()))
        else {
            panic!("no Node");
        };
        assert_eq!(
            (node.name_any().as_str(), node.resource_version().as_deref()),
            ("n1", Some("12"))
        );
        assert_eq!((&node.metadata.namespace, node.metadata.generation), (&None, None));
        assert_eq!(node.labels()["k"], "");
        let status = node.status.unwrap();
        assert_eq!(status.node_info.unwrap().boot_id, "boot");
        let [ours] = &status.conditions.unwrap()[..] else { panic!("one condition is ours") };
        assert_eq!((ours.type_.as_str(), &ours.reason), (names::NODE_CONDITION, &None));
    }

    #[test]
    fn an_event_may_be_a_bookmark_or_an_error() {
        let end = field(12, &[field(1, b"k8s.io/initial-events-end"), field(2, b"true")].concat());
        let bookmark = field(1, &[field(6, b"7"), end].concat());
        let Ok(WatchEvent::Bookmark(bookmark)) = read(&message("BOOKMARK", &bookmark)) else {
            panic!("no bookmark");
        };
        assert_eq!(bookmark.metadata.resource_version, "7");
        assert_eq!(bookmark.metadata.annotations["k8s.io/initial-events-end"], "true");
        let status = [field(3, b"too old"), field(4, b"Expired"), number(6, 410)].concat();
        let Ok(WatchEvent::Error(status)) = read(&message("ERROR", &status)) else {
            panic!("no error");
        };
        assert_eq!((status.code, &*status.reason, &*status.message), (410, "Expired", "too old"));
    }

    #[test]
    fn what_is_no_event_is_malformed() {
        let node = node_message();
        let without_magic = field(2, &field(1, &field(2, &node)));
        for message in [
            message("OTHER", &node),
            field(1, b"ADDED"),
            [field(1, b"ADDED"), without_magic].concat(),
            message("ERROR", &number(6, 70_000)),
            // The watch would begin anywhere.
            message("BOOKMARK", &field(1, &field(1, b"n1"))),
        ] {
            assert!(read(&message).is_err(), "{message:x?}");
        }
    }

    proptest! {
        /// Nothing is taken for a Node that has only a part of its bytes.
        #[test]
        fn a_part_of_an_event_is_malformed(part in any::<prop::sample::Index>()) {
            let whole = message("ADDED", &node_message());
            prop_assert!(read(&whole[..part.index(whole.len())]).is_err());
        }

        #[test]
        fn reading_any_bytes_ends(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes);
            let _ = node(Fields(&bytes));
        }
    }
}
