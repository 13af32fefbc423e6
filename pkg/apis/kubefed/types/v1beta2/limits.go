package v1beta2

// Bounds of one federated object. The store takes objects of up to 1.5 MiB, as etcd does
// and whatever the packet size of a database; the spec, what field managers own of it, and
// the status share that. docs/limits.md gives the reasons.
//
// An object that was stored before a bound was, or is now, may be changed all the same as
// long as it does not grow beyond it any further.
const (
	// MaxPayloadBytes is the most that template, override paths and override values may be
	// together, as compact JSON. A Secret's data count in base64, which is a third more.
	MaxPayloadBytes = 1 << 20
	// MaxStashBytes is the most that the mask and the overrides by selector may be
	// together: v1beta1 carries them in an annotation, and the annotations of an object may
	// be 256 KiB together.
	MaxStashBytes = 128 << 10
	// MaxDepth is how many objects and arrays of a template or an override value may be
	// around one another. Kubernetes' own kinds need 20, a CustomResourceDefinition some
	// more than twice its schema's depth. Readers of JSON end at 256 (older jq) or 1,000
	// (Python), and YAML indents every line by its depth.
	MaxDepth = 128
	// MaxTargets is how many targets a placement or a mask may name, and how many overrides
	// there may be. The status has an entry of some 160 bytes for each target, and its field
	// manager owns as much again. A selector may select more, as long as the status fits.
	MaxTargets = 1000
	// MaxTargetPatches is how many patches may apply to one target: those of its entry and
	// of all overrides by selector. Each is a step through the template, for each target.
	MaxTargetPatches = 256
	// MaxPatches is how many patches all overrides may have together.
	MaxPatches = 10000
	// MaxStatusBytes is how large controllers make a status. Beyond it they leave statuses
	// of members' objects out, and then messages, and say so.
	MaxStatusBytes = 384 << 10
	// MaxRemoteStatusBytes is how large the status of a member's object may be for controllers to
	// copy it: that of a Deployment is 1 KiB, that of a Job with failed indexes some 10 KiB.
	MaxRemoteStatusBytes = 32 << 10
	// MaxMessageBytes is how long controllers make the message of a target. Messages of
	// members may quote whole objects.
	MaxMessageBytes = 1 << 10
	// MaxHealthMessageBytes is how long controllers make the message on the health of a target.
	MaxHealthMessageBytes = 96
)
