package view

import "testing"

func TestWhatOneAloneReadsNobodyElseReads(t *testing.T) {
	key := func(owner, fields string) Key {
		k, err := NewKey("metrics.k8s.io", "v1beta1", "pods", "", "", fields)
		if err != nil {
			t.Fatal(err)
		}
		k.Owner = owner
		if back, err := ParseKey(k.String()); err != nil || back != k {
			t.Errorf("%s is read as %s, %v", k, back, err)
		}
		return k
	}
	c, err := NewCache(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.View(key("user:a", "")).Replace(nil, 5)
	for owner, want := range map[string]bool{"user:a": true, "user:b": false, "": false} {
		for _, fields := range []string{"", "metadata.name=x"} {
			if _, _, ok := c.Find(key(owner, fields)); ok != want {
				t.Errorf("%q finds what is a's: %t", owner, ok)
			}
			if _, ok := Narrow(key("user:a", ""), key(owner, fields)); ok != want {
				t.Errorf("what is a's is wider than what is %q's: %t", owner, ok)
			}
		}
	}
}
