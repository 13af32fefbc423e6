package manifest

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Copied is a part of a template that can only come from a running object that it was copied
// from, and belongs to the place where that ran. It is not sent to members: they would
// refuse it, or be tied to what another cluster has allocated.
type Copied struct {
	// Reason is what is said of it: a sentence whose subject is the field.
	Reason string

	steps []step
	value any
}

// step leads to a key of a map, or to an item of a list.
type step struct {
	key string
	// item is the position in a list, -1 in a map; name is the item's, if it has one.
	item int
	name string
}

// Path returns where the part is in a template with the given path.
func (c Copied) Path(template *field.Path) *field.Path {
	path := template
	for i, s := range c.steps {
		switch {
		case s.item >= 0:
			path = path.Index(s.item)
		case i > 0 && slices.Contains([]string{"labels", "annotations", "matchLabels", "data"}, c.steps[i-1].key):
			path = path.Key(s.key)
		default:
			path = path.Child(s.key)
		}
	}
	return path
}

// maxCopied is how many parts of a template are looked for. No running object has as many, and what
// is done for each part and target stays small whatever somebody writes.
const maxCopied = 1000

// CopiedFields lists what of a template belongs to the place that it was copied from, in the
// order of the rules and then of the template. They go by the template, and not by what
// overrides make of it: what an override sets is meant, and sent. See TakeOut.
func CopiedFields(template map[string]any, kind schema.GroupKind) []Copied {
	var out []Copied
	for _, rules := range [][]copiedRule{copiedRules[kind], copiedAnywhere} {
		for _, rule := range rules {
			find(template, rule.steps, nil, func(steps []step, value any) {
				if len(out) < maxCopied && (rule.when == nil || rule.when(template, value)) {
					out = append(out, Copied{Reason: rule.reason, steps: slices.Clone(steps), value: runtime.DeepCopyJSONValue(value)})
				}
			})
		}
	}
	return out
}

// find calls found with every value that steps lead to.
func find(value any, steps []string, at []step, found func([]step, any)) {
	if len(steps) == 0 {
		found(at, value)
		return
	}
	switch v := value.(type) {
	case map[string]any:
		if inner, there := v[steps[0]]; there {
			find(inner, steps[1:], append(at, step{key: steps[0], item: -1}), found)
		}
	case []any:
		if steps[0] != AnyStep {
			return
		}
		for i, item := range v {
			find(item, steps[1:], append(at, step{item: i, name: nameOf(item)}), found)
		}
	}
}

func nameOf(item any) string {
	m, _ := item.(map[string]any)
	name, _ := m["name"].(string)
	return name
}

// TakeOut removes from an object, which it modifies, what was copied into its template. What
// overrides have changed since stays: only what is as it was is taken out. Items of lists are
// found by their names, or by their position where they have none.
func TakeOut(object map[string]any, copied []Copied) {
	for len(copied) > 0 {
		// Those of one parent are next to each other.
		parent := copied[0].steps[:len(copied[0].steps)-1]
		n := 1
		for n < len(copied) && slices.Equal(parent, copied[n].steps[:len(copied[n].steps)-1]) {
			n++
		}
		takeOut(object, parent, copied[:n])
		copied = copied[n:]
	}
}

// takeOut returns a tree without those parts that are where the steps lead.
func takeOut(tree any, steps []step, parts []Copied) any {
	switch t := tree.(type) {
	case map[string]any:
		if len(steps) == 0 {
			takeKeys(t, parts)
		} else if inner, there := t[steps[0].key]; there && steps[0].item < 0 {
			t[steps[0].key] = takeOut(inner, steps[1:], parts)
		}
	case []any:
		if len(steps) == 0 {
			return takeItems(t, parts)
		} else if i := steps[0].in(t); i >= 0 {
			t[i] = takeOut(t[i], steps[1:], parts)
		}
	}
	return tree
}

func takeKeys(m map[string]any, parts []Copied) {
	for _, part := range parts {
		key := part.steps[len(part.steps)-1].key
		if value, there := m[key]; there && reflect.DeepEqual(value, part.value) {
			delete(m, key)
		}
	}
}

// takeItems takes out one item for each part.
func takeItems(list []any, parts []Copied) []any {
	gone := map[string]int{}
	for _, part := range parts {
		gone[encoded(part.value)]++
	}
	return slices.DeleteFunc(list, func(item any) bool {
		text := encoded(item)
		gone[text]--
		return gone[text] >= 0
	})
}

// encoded is the text of a value, the same for equal ones.
func encoded(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return "" // never: it was decoded from JSON
	}
	return string(data)
}

// in returns the position of the item in a list, or -1.
func (s step) in(list []any) int {
	switch {
	case s.item < 0:
		return -1
	case s.item < len(list) && nameOf(list[s.item]) == s.name:
		return s.item
	case s.name == "":
		return -1
	}
	return slices.IndexFunc(list, func(item any) bool { return nameOf(item) == s.name })
}

// copiedRule is what of a kind is taken out.
type copiedRule struct {
	steps  []string
	when   func(template map[string]any, value any) bool // nil: whatever it is
	reason string
}

const (
	reasonAllocated = "is not sent to members: it belongs to the cluster that the template was copied from, and each member allocates its own"
	reasonGenerated = "is not sent to members: the API server that the template was copied from generated it, and theirs generate their own"
	reasonComputed  = "is not sent to members: their API servers compute it, and refuse another value"
	reasonScheduled = "is not sent to members: it names a node of the cluster that the template was copied from"
	reasonToken     = "is not sent to members: the cluster that the template was copied from put its token in"
	reasonDefaulted = "is not sent to members: it is the default of the cluster that the template was copied from, and theirs apply"
	reasonEphemeral = "is not sent to members: no Pod can be made with ephemeral containers"
	reasonBound     = "is not sent to members: a controller of the cluster that the template was copied from bound it"
	reasonRecord    = "is not sent to members: it is a record of the cluster that the template was copied from"
)

// copiedRules say what of a kind can only come from a running object. The sources are those of
// builtinFields.
//
// Of a Service, a node port may be meant: KubeFed sends what a template has. It is taken as
// copied where the template has a cluster IP too, which API servers allocate together with
// it and which nobody writes who writes templates by hand. The cluster IP None is meant: it makes
// the Service headless.
//
// Of a claim, a volume may be meant: bound by hand, it has neither a provisioner's name for it
// nor the annotation of the binder.
var copiedRules = map[schema.GroupKind][]copiedRule{
	{Group: "batch", Kind: "Job"}: {
		{[]string{"spec", "selector"}, selectsUID, reasonGenerated},
		{[]string{"spec", "template", "metadata", "labels", "controller-uid"}, ofGeneratedSelector, reasonGenerated},
		{[]string{"spec", "template", "metadata", "labels", "batch.kubernetes.io/controller-uid"}, ofGeneratedSelector, reasonGenerated},
		{[]string{"spec", "template", "metadata", "labels", "job-name"}, ofGeneratedSelector, reasonGenerated},
		{[]string{"spec", "template", "metadata", "labels", "batch.kubernetes.io/job-name"}, ofGeneratedSelector, reasonGenerated},
	},
	{Kind: "Service"}: {
		{[]string{"spec", "clusterIP"}, func(_ map[string]any, ip any) bool { return isAddress(ip) }, reasonAllocated},
		{[]string{"spec", "clusterIPs"}, hasClusterIP, reasonAllocated},
		{[]string{"spec", "healthCheckNodePort"}, hasClusterIP, reasonAllocated},
		{[]string{"spec", "ports", AnyStep, "nodePort"}, hasClusterIP, reasonAllocated},
	},
	{Kind: "Pod"}: {
		{[]string{"spec", "nodeName"}, nil, reasonScheduled},
		{[]string{"spec", "volumes", AnyStep}, isTokenVolume, reasonToken},
		{[]string{"spec", "containers", AnyStep, "volumeMounts", AnyStep}, isTokenMount, reasonToken},
		{[]string{"spec", "initContainers", AnyStep, "volumeMounts", AnyStep}, isTokenMount, reasonToken},
		{[]string{"spec", "ephemeralContainers"}, nil, reasonEphemeral},
		{[]string{"spec", "tolerations", AnyStep}, isDefaultToleration, reasonDefaulted},
		{[]string{"spec", "priority"}, nil, reasonComputed},
		{[]string{"spec", "preemptionPolicy"}, nil, reasonComputed},
		{[]string{"spec", "overhead"}, nil, reasonComputed},
	},
	{Kind: "PersistentVolumeClaim"}: {
		{[]string{"spec", "volumeName"}, isBoundByController, reasonBound},
		annotationRule("pv.kubernetes.io/bind-completed", reasonBound),
		annotationRule("pv.kubernetes.io/bound-by-controller", reasonBound),
		annotationRule("volume.kubernetes.io/selected-node", reasonScheduled),
		annotationRule("volume.kubernetes.io/storage-provisioner", reasonBound),
		annotationRule("volume.beta.kubernetes.io/storage-provisioner", reasonBound),
	},
	{Kind: "PersistentVolume"}: {
		{[]string{"spec", "claimRef"}, isReserved, reasonBound},
		{[]string{"spec", "claimRef", "uid"}, isNotReserved, reasonBound},
		{[]string{"spec", "claimRef", "resourceVersion"}, isNotReserved, reasonBound},
		annotationRule("pv.kubernetes.io/bound-by-controller", reasonBound),
		annotationRule("pv.kubernetes.io/provisioned-by", reasonBound),
	},
	{Kind: "ServiceAccount"}: {
		{[]string{"secrets", AnyStep}, isGeneratedSecret, reasonToken},
		{[]string{"imagePullSecrets", AnyStep}, isGeneratedSecret, reasonToken},
	},
	{Kind: "Secret"}: {
		{[]string{"data", "token"}, ofTokenSecret, reasonToken},
		{[]string{"data", "ca.crt"}, ofTokenSecret, reasonToken},
		{[]string{"data", "namespace"}, ofTokenSecret, reasonToken},
		annotationRule("kubernetes.io/service-account.uid", reasonToken),
	},
	{Kind: "Node"}: {
		{[]string{"spec", "podCIDR"}, nil, reasonAllocated},
		{[]string{"spec", "podCIDRs"}, nil, reasonAllocated},
		{[]string{"spec", "providerID"}, nil, reasonAllocated},
		{[]string{"spec", "taints", AnyStep}, func(_ map[string]any, taint any) bool { return isConditionTaint(taint) }, reasonRecord},
	},
	{Group: "apps", Kind: "Deployment"}: {annotationRule("deployment.kubernetes.io/revision", reasonRecord)},
	{Group: "apps", Kind: "DaemonSet"}:  {annotationRule("deprecated.daemonset.template.generation", reasonRecord)},
}

// copiedAnywhere are records that any object may have.
var copiedAnywhere = []copiedRule{
	annotationRule("kubectl.kubernetes.io/last-applied-configuration", reasonRecord),
	annotationRule("control-plane.alpha.kubernetes.io/leader", reasonRecord),
}

func annotationRule(key, reason string) copiedRule {
	return copiedRule{steps: []string{"metadata", "annotations", key}, reason: reason}
}

func annotationOf(template map[string]any, key string) (any, bool) {
	metadata, _ := template["metadata"].(map[string]any)
	annotations, _ := metadata["annotations"].(map[string]any)
	value, there := annotations[key]
	return value, there
}

// isReserved tells a volume that a binder gave to a claim from one that its manifest keeps for one.
func isReserved(volume map[string]any, _ any) bool {
	_, there := annotationOf(volume, "pv.kubernetes.io/bound-by-controller")
	return there
}

func isNotReserved(volume map[string]any, value any) bool { return !isReserved(volume, value) }

func ofGeneratedSelector(job map[string]any, _ any) bool { return generatesSelector(job) }

// selectsUID tells a generated selector from one that was written without manualSelector,
// which members refuse.
func selectsUID(job map[string]any, selector any) bool {
	if !generatesSelector(job) {
		return false
	}
	m, _ := selector.(map[string]any)
	labels, _ := m["matchLabels"].(map[string]any)
	return labels["controller-uid"] != nil || labels["batch.kubernetes.io/controller-uid"] != nil
}

func isAddress(value any) bool {
	ip, _ := value.(string)
	return ip != "" && ip != "None"
}

func hasClusterIP(service map[string]any, _ any) bool {
	spec, _ := service["spec"].(map[string]any)
	ips, _ := spec["clusterIPs"].([]any)
	return isAddress(spec["clusterIP"]) || slices.ContainsFunc(ips, isAddress)
}

// tokenName is how clusters name the Secrets of ServiceAccounts, and volumes of them: five
// characters of the alphabet of k8s.io/apimachinery/pkg/util/rand.
var tokenName = regexp.MustCompile(`-(token|dockercfg)-[bcdfghjklmnpqrstvwxz2456789]{5}$`)

const tokenVolumePrefix = "kube-api-access-"

// isTokenVolume: admission/serviceaccount adds a projected volume, before 1.21 one of a Secret.
func isTokenVolume(_ map[string]any, value any) bool {
	volume, _ := value.(map[string]any)
	name := nameOf(volume)
	if strings.HasPrefix(name, tokenVolumePrefix) {
		return volume["projected"] != nil
	}
	secret, _ := volume["secret"].(map[string]any)
	return tokenName.MatchString(name) && secret["secretName"] == name
}

func isTokenMount(_ map[string]any, value any) bool {
	mount, _ := value.(map[string]any)
	name := nameOf(mount)
	return mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount" &&
		(strings.HasPrefix(name, tokenVolumePrefix) || tokenName.MatchString(name))
}

// isDefaultToleration: admission/defaulttolerationseconds adds both to Pods that have none.
func isDefaultToleration(_ map[string]any, value any) bool {
	toleration, _ := value.(map[string]any)
	key := toleration["key"]
	return len(toleration) == 4 && toleration["operator"] == "Exists" && toleration["effect"] == "NoExecute" &&
		(key == "node.kubernetes.io/not-ready" || key == "node.kubernetes.io/unreachable") && isNumber(toleration["tolerationSeconds"], 300)
}

// isNumber compares numbers as any decoder makes them.
func isNumber(value any, want int64) bool {
	switch v := value.(type) {
	case int64:
		return v == want
	case float64:
		return v == float64(want)
	case interface{ String() string }:
		return v.String() == strconv.FormatInt(want, 10)
	}
	return false
}

func isTokenReference(item any) bool { return tokenName.MatchString(nameOf(item)) }

func isGeneratedSecret(_ map[string]any, value any) bool { return isTokenReference(value) }

func ofTokenSecret(secret map[string]any, _ any) bool { return holdsToken(secret) }

// provisioned is how provisioners name volumes: after the UID of the claim.
var provisioned = regexp.MustCompile(`^pvc-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

func isBoundByController(claim map[string]any, volume any) bool {
	_, there := annotationOf(claim, "pv.kubernetes.io/bound-by-controller")
	name, _ := volume.(string)
	return there || provisioned.MatchString(name)
}
