// The modules whose CRDs our samples in config/integrations are checked against. They are only
// downloaded: nothing of them is built.
module integrations

go 1.25.0

require (
	github.com/kyverno/kyverno v1.19.1
	sigs.k8s.io/karpenter v1.13.0
	sigs.k8s.io/kueue v0.17.0
)
