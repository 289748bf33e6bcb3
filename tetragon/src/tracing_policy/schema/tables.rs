//! The schema of the CRDs tracingpolicies and tracingpoliciesnamespaced of cilium.io/v1alpha1, as
//! data.
//!
//! Source: `pkg/k8s/apis/cilium.io/client/crds/v1alpha1/*.yaml` of Tetragon v1.3.0 to v1.7.0 and of
//! its development branch (commit 4fbfe2d, August 2026).

use super::shape::{Field, Int, Kind, Limit, Rule, Shape, Test, Word};
use super::words::{ACTIONS, OPERATORS, TYPES};
use crate::tracing_policy::release::Release::{Main, V1_3, V1_4, V1_5, V1_6, V1_7};

const fn f(name: &'static str, kind: Kind) -> Field {
    Field::new(name, kind)
}

const fn w(word: &'static str) -> Word {
    Word::new(word)
}

const fn text(name: &'static str) -> Field {
    f(name, Kind::Text)
}

const fn flag(name: &'static str) -> Field {
    f(name, Kind::Bool)
}

const fn int(name: &'static str, int: Int) -> Field {
    f(name, Kind::Int(int))
}

const fn list(name: &'static str, entry: &'static Kind) -> Field {
    f(name, Kind::List(entry, None))
}

/// Since v1.7 a list of filters by binary has one entry.
const ONE: Limit = Limit { max: 1, since: V1_7 };

const TEXTS: Kind = Kind::List(&Kind::Text, None);

/// A whole object.
pub static OBJECT: Shape = Shape {
    fields: &[
        text("apiVersion"),
        text("kind"),
        f("metadata", Kind::Object(&METADATA)).required(),
        f("spec", Kind::Object(&SPEC)).required(),
    ],
    rules: &[],
};

/// `metav1.ObjectMeta` of Kubernetes.
static METADATA: Shape = Shape {
    fields: &[
        text("name"),
        text("generateName"),
        text("namespace"),
        f("labels", Kind::Map(&Kind::Label)),
        f("annotations", Kind::Map(&Kind::Text)),
        f("creationTimestamp", Kind::Any),
        f("deletionGracePeriodSeconds", Kind::Any),
        f("deletionTimestamp", Kind::Any),
        list("finalizers", &Kind::Text),
        f("generation", Kind::Any),
        f("managedFields", Kind::Any),
        list("ownerReferences", &Kind::Object(&OWNER)),
        text("resourceVersion"),
        text("selfLink"),
        text("uid"),
    ],
    rules: &[],
};

/// `metav1.OwnerReference` of Kubernetes. `envelope` checks which fields are required.
static OWNER: Shape = Shape {
    fields: &[
        text("apiVersion"),
        text("kind"),
        text("name"),
        text("uid"),
        flag("controller"),
        flag("blockOwnerDeletion"),
    ],
    rules: &[],
};

/// `spec`.
pub static SPEC: Shape = Shape {
    fields: &[
        list("kprobes", &Kind::Object(&KPROBE)),
        list("tracepoints", &Kind::Object(&TRACEPOINT)),
        flag("loader"),
        list("uprobes", &Kind::Object(&UPROBE)),
        list("lsmhooks", &Kind::Object(&LSM_HOOK)),
        list("usdts", &Kind::Object(&USDT)).since(V1_6),
        list("fentries", &Kind::Object(&KPROBE)).since(V1_7),
        f("podSelector", Kind::Object(&LABEL_SELECTOR)),
        f("containerSelector", Kind::Object(&LABEL_SELECTOR)),
        f("hostSelector", Kind::Object(&HOST_SELECTOR)).since(V1_7),
        f("nodeSelector", Kind::Object(&LABEL_SELECTOR)).since(Main),
        list("lists", &Kind::Object(&LIST)),
        list("enforcers", &Kind::Object(&ENFORCER)),
        list("options", &Kind::Object(&OPTION)),
        f("selectorsMacros", Kind::Map(&Kind::Object(&SELECTOR))).since(V1_7),
    ],
    rules: &[],
};

static LABEL_SELECTOR: Shape = Shape { fields: &LABELS, rules: &[] };

static HOST_SELECTOR: Shape =
    Shape { fields: &LABELS, rules: &[Rule { since: Main, test: Test::NoLabels }] };

static LABELS: [Field; 2] = [
    list("matchExpressions", &Kind::Object(&EXPRESSION)),
    f("matchLabels", Kind::Map(&Kind::Label)),
];

static EXPRESSION: Shape = Shape {
    fields: &[
        text("key").required(),
        f("operator", Kind::Words(&[w("In"), w("NotIn"), w("Exists"), w("DoesNotExist")]))
            .required(),
        f("values", TEXTS),
    ],
    rules: &[],
};

static OPTION: Shape = Shape { fields: &[text("name").required(), text("value")], rules: &[] };

static ENFORCER: Shape = Shape { fields: &[f("calls", TEXTS).required()], rules: &[] };

static LIST: Shape = Shape {
    fields: &[
        text("name").required(),
        text("pattern"),
        f("type", Kind::Words(&[w("syscalls"), w("generated_syscalls"), w("generated_ftrace")])),
        flag("validated"),
        f("values", TEXTS),
    ],
    rules: &[],
};

static AN_ARG: Kind = Kind::Object(&ARG);
static A_SELECTOR: Kind = Kind::Object(&SELECTOR);
const TAGS: Field = f("tags", Kind::List(&Kind::Text, Some(Limit { max: 16, since: V1_3 })));
const ARGS: Field = list("args", &AN_ARG);
const SELECTORS: Field = list("selectors", &A_SELECTOR);

static LSM_HOOK: Shape = Shape {
    fields: &[text("hook").required(), text("message"), ARGS, SELECTORS, TAGS],
    rules: &[],
};

static KPROBE: Shape = Shape {
    fields: &[
        text("call").required(),
        flag("return"),
        flag("syscall"),
        text("message"),
        ARGS,
        list("data", &AN_ARG).since(V1_6),
        f("returnArg", Kind::Object(&ARG)),
        text("returnArgAction"),
        SELECTORS,
        TAGS,
        f("ignore", Kind::Object(&Shape { fields: &[flag("callNotFound")], rules: &[] }))
            .since(V1_5),
    ],
    rules: &[Rule { since: Main, test: Test::ReturnArg }],
};

static TRACEPOINT: Shape = Shape {
    fields: &[
        text("subsystem").required(),
        text("event").required(),
        text("message"),
        ARGS,
        SELECTORS,
        TAGS,
        flag("raw").since(V1_5),
    ],
    rules: &[],
};

static UPROBE: Shape = Shape {
    fields: &[
        text("path").required(),
        text("btfPath").since(V1_7),
        f("symbols", TEXTS).required_until(V1_4),
        list("offsets", &Kind::Int(Int::I64)).since(V1_5),
        list("addrs", &Kind::Int(Int::I64)).since(V1_6),
        list("refCtrOffsets", &Kind::Int(Int::I64)).since(V1_5),
        text("message"),
        SELECTORS,
        ARGS,
        list("data", &AN_ARG).since(V1_7),
        TAGS,
        flag("return").since(V1_7),
        f("returnArg", Kind::Object(&ARG)).since(V1_7),
        f("binaryDigests", TEXTS).since(Main),
        f(
            "ignore",
            Kind::Object(&Shape { fields: &[flag("digestVerificationFailure")], rules: &[] }),
        )
        .since(Main),
    ],
    rules: &[
        Rule { since: Main, test: Test::AtMostOne(&["symbols", "addrs", "offsets"]) },
        Rule { since: Main, test: Test::ReturnArg },
    ],
};

static USDT: Shape = Shape {
    fields: &[
        text("path").required(),
        text("btfPath"),
        text("provider").required(),
        text("name").required(),
        TAGS,
        text("message"),
        ARGS,
        SELECTORS,
    ],
    rules: &[],
};

/// An argument of a hook. `type` has the default `auto`, so it is optional here.
static ARG: Shape = Shape {
    fields: &[
        int("index", Int::Index).required(),
        f("type", Kind::Words(TYPES)),
        text("resolve").since(V1_4),
        int("sizeArgIndex", Int::Index),
        flag("returnCopy"),
        flag("maxData"),
        text("label"),
        text("source").since(V1_6),
        text("btfType").since(V1_6),
        text("btfTypeModule").since(Main),
    ],
    rules: &[],
};

/// A selector of a hook, and a macro.
static SELECTOR: Shape = Shape {
    fields: &[
        text("label").since(Main),
        list("matchPIDs", &Kind::Object(&PIDS)),
        list("matchArgs", &Kind::Object(&ARG_FILTER)),
        list("matchData", &Kind::Object(&ARG_FILTER)).since(V1_6),
        list("matchActions", &Kind::Object(&ACTION)),
        list("matchReturnArgs", &Kind::Object(&ARG_FILTER)),
        list("matchReturnActions", &Kind::Object(&ACTION)),
        f("matchBinaries", Kind::List(&Kind::Object(&BINARIES), Some(ONE))),
        f("matchParentBinaries", Kind::List(&Kind::Object(&BINARIES), Some(ONE))).since(V1_7),
        list("matchNamespaces", &Kind::Object(&NAMESPACES)),
        list("matchNamespaceChanges", &Kind::Object(&NAMESPACE_CHANGES)),
        list("matchCapabilities", &Kind::Object(&CAPABILITIES)),
        list("matchCapabilityChanges", &Kind::Object(&CAPABILITIES)),
        f("matchWorkloads", Kind::Object(&WORKLOADS)).since(Main),
        f("macros", TEXTS).since(V1_7),
    ],
    rules: &[],
};

static WORKLOADS: Shape = Shape {
    fields: &[
        f("podSelector", Kind::Object(&LABEL_SELECTOR)),
        f("containerSelector", Kind::Object(&LABEL_SELECTOR)),
        f("hostSelector", Kind::Object(&HOST_SELECTOR)),
    ],
    rules: &[],
};

const IN_OR_NOT: Field = f("operator", Kind::Words(&[w("In"), w("NotIn")])).required();
const VALUES: Field = f("values", TEXTS).required();

static PIDS: Shape = Shape {
    fields: &[
        IN_OR_NOT,
        list("values", &Kind::Int(Int::Unsigned)).required(),
        flag("isNamespacePID"),
        flag("followForks"),
    ],
    rules: &[],
};

static BINARIES: Shape = Shape {
    fields: &[
        f(
            "operator",
            Kind::Words(&[
                w("In"),
                w("NotIn"),
                w("Prefix"),
                w("NotPrefix"),
                w("Postfix"),
                w("NotPostfix"),
            ]),
        )
        .required(),
        VALUES,
        flag("followChildren"),
    ],
    rules: &[],
};

static NAMESPACES: Shape = Shape {
    fields: &[
        f(
            "namespace",
            Kind::Words(&[
                w("Uts"),
                w("Ipc"),
                w("Mnt"),
                w("Pid"),
                w("PidForChildren"),
                w("Net"),
                w("Time"),
                w("TimeForChildren"),
                w("Cgroup"),
                w("User"),
            ]),
        )
        .required(),
        IN_OR_NOT,
        VALUES,
    ],
    rules: &[],
};

static NAMESPACE_CHANGES: Shape = Shape { fields: &[IN_OR_NOT, VALUES], rules: &[] };

static CAPABILITIES: Shape = Shape {
    fields: &[
        f("type", Kind::Words(&[w("Effective"), w("Inheritable"), w("Permitted")])),
        IN_OR_NOT,
        flag("isNamespaceCapability"),
        VALUES,
    ],
    rules: &[],
};

static ARG_FILTER: Shape = Shape {
    fields: &[
        int("index", Int::Index).required_until(V1_5),
        list("args", &Kind::Int(Int::Index)).since(V1_5),
        f("operator", Kind::Words(OPERATORS)).required(),
        f("values", TEXTS),
    ],
    rules: &[],
};

static ACTION: Shape = Shape {
    fields: &[
        f("action", Kind::Words(ACTIONS)).required(),
        text("argUrl"),
        text("argFqdn"),
        int("argError", Int::I32),
        int("argSig", Int::Unsigned),
        int("argSock", Int::Unsigned),
        int("argFd", Int::Unsigned).until(V1_7),
        int("argName", Int::Unsigned).until(V1_7),
        int("argIndex", Int::Unsigned).since(V1_6),
        int("argValue", Int::Unsigned).since(V1_6),
        f("argRegs", TEXTS).since(V1_6),
        text("argNewSymbol").since(Main),
        int("argNewAddr", Int::I64).since(Main),
        int("argNewOffset", Int::I64).since(Main),
        text("rateLimit"),
        text("rateLimitScope"),
        flag("kernelStackTrace"),
        flag("userStackTrace"),
        flag("imaHash"),
    ],
    rules: &[Rule {
        since: Main,
        test: Test::AtMostOne(&["argNewSymbol", "argNewAddr", "argNewOffset"]),
    }],
};
