package compose

import "testing"

func TestAStampStandsForWhatAManifestCanSay(t *testing.T) {
	const before = `{apiVersion: v1, kind: ConfigMap, data: {key: v}, status: {phase: a}, metadata: {name: cm, uid: u, resourceVersion: '1', generation: 1,
		labels: {ours: a}, annotations: {ours: a, federation.koinon.io/manifest-metadata: '{}'}, finalizers: [f], managedFields: [{manager: koinon}, {manager: balancer}]}}`
	for sentence, test := range map[string]struct {
		after string
		same  bool
	}{
		"versions, the status, labels, annotations and who has written when are not in it": {
			`{apiVersion: v1, kind: ConfigMap, data: {key: v}, status: {phase: b}, metadata: {name: cm, uid: u, resourceVersion: '2', generation: 2,
				labels: {ours: a, theirs: b}, annotations: {theirs: b, federation.koinon.io/manifest-metadata: '{}'}, finalizers: [f], managedFields: [{manager: balancer}, {manager: koinon}]}}`, true,
		},
		"content is": {
			`{apiVersion: v1, kind: ConfigMap, data: {key: w}, metadata: {uid: u, annotations: {federation.koinon.io/manifest-metadata: '{}'}, finalizers: [f]}}`, false,
		},
		"what is there beside it is": {
			`{apiVersion: v1, kind: ConfigMap, data: {key: v, more: w}, metadata: {uid: u, annotations: {federation.koinon.io/manifest-metadata: '{}'}, finalizers: [f]}}`, false,
		},
		"the UID is": {
			`{apiVersion: v1, kind: ConfigMap, data: {key: v}, metadata: {uid: other, annotations: {federation.koinon.io/manifest-metadata: '{}'}, finalizers: [f]}}`, false,
		},
		"finalizers are": {
			`{apiVersion: v1, kind: ConfigMap, data: {key: v}, metadata: {uid: u, annotations: {federation.koinon.io/manifest-metadata: '{}'}}}`, false,
		},
		"the record of what is ours is": {
			`{apiVersion: v1, kind: ConfigMap, data: {key: v}, metadata: {uid: u, finalizers: [f]}}`, false,
		},
	} {
		if got := StampOf(tree(t, before)) == StampOf(tree(t, test.after)); got != test.same {
			t.Errorf("%s: got the same stamp: %v", sentence, got)
		}
	}
	if StampOf(tree(t, before)) == (Stamp{}) {
		t.Error("the stamp of an object is the one of none")
	}
}
