package cli

import (
	"strings"
	"testing"
)

func TestWordsOfObjectsAreCompleted(t *testing.T) {
	h := newFakeHub(t)
	h.put(testTypes+"federatedconfigmaps/web", explainedWeb)
	h.put(testTypes+"federatedconfigmaps", `{items: [{metadata: {name: web, namespace: shop}}, {metadata: {name: api, namespace: shop}}]}`)
	h.put(groupPath+"/clusters", `{items: [{metadata: {name: m1}}, {metadata: {name: m2}}, {metadata: {name: m3}}]}`)
	h.put(groupPath+"/namespaces/shop/cells", `{items: [{metadata: {name: rz00a}}]}`)
	for _, c := range []struct{ words, want string }{
		{"explain federatedc", "federatedconfigmap/\n"},
		{"explain federatedconfigmap/w", "federatedconfigmap/web\n"},
		{"explain fcm/web m", "m1\nm2\nm3\n"},
		{"mask set fcm/web --targets m1,m", "m1,m1\nm1,m2\nm1,m3\n"},
		{"mask set fcm/", "fcm/web\nfcm/api\n"},
		{"get cm --cluster m1,m", "m1,m1\nm1,m2\nm1,m3\n"},
		{"get cm --cell r", "rz00a\n"},
		{"federate cm/web --from m3", "m3\n"},
		{"federate cm/web --cells rz00a,", "rz00a,rz00a\n"},
	} {
		stdout, _, err := run(t, append([]string{"__complete"}, strings.Fields(c.words)...)...)
		if got, _, _ := strings.Cut(stdout, ":"); err != nil || got != c.want {
			t.Errorf("%s: %q, want %q; %v", c.words, got, c.want, err)
		}
	}
}
