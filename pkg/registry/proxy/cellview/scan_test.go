package cellview

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

var fuzzed = View{Namespace: "shop", MemberNamespace: "shop-a", Cell: "a"}

// fuzzedTypes are those with places of every kind.
var fuzzedTypes = []schema.GroupResource{
	custom, namespaces, rolebindings, {Resource: "pods"}, {Group: "networking.k8s.io", Resource: "networkpolicies"}, selfAccess,
}

// pair is a field of an object, in the order in which it was written.
type pair struct {
	key   string
	value any
}

type object []pair

// tree decodes one value and keeps the order of fields, and those that come twice.
func tree(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		all := []any{}
		for d.More() {
			value, err := tree(d)
			if err != nil {
				return nil, err
			}
			all = append(all, value)
		}
		_, err := d.Token()
		return all, err
	case json.Delim('{'):
		all := object{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := tree(d)
			if err != nil {
				return nil, err
			}
			all = append(all, pair{key.(string), value})
		}
		_, err := d.Token()
		return all, err
	}
	return token, nil
}

// trees decodes all values.
func trees(data []byte) ([]any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var all []any
	for len(bytes.TrimLeft(data[d.InputOffset():], " \t\r\n")) > 0 {
		value, err := tree(d)
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, nil
}

// ofTrees maps a tree as a scanner should map its bytes.
type ofTrees struct {
	replace func(n *node, text string, decided bool) (string, error)
	unknown func(n *node, key string) (*node, error)
	strict  bool
}

func (r ofTrees) value(n *node, value any, decided bool) (any, error) {
	if n == nil {
		return value, nil
	}
	switch value := value.(type) {
	case string:
		if n.act == none || n.act == kind {
			return value, nil
		}
		return r.replace(n, value, decided)
	case []any:
		out := []any{}
		for _, element := range value {
			mapped, err := r.value(n.elem, element, decided)
			if err != nil {
				return nil, err
			}
			out = append(out, mapped)
		}
		return out, nil
	case object:
		return r.object(n, value)
	}
	return value, nil
}

func (r ofTrees) object(n *node, in object) (any, error) {
	if n.fields == nil && !n.labels && !n.owned {
		return in, nil
	}
	out, asked, decided := object{}, false, false
	for _, field := range in {
		next := n.fields[field.key]
		if next == nil && r.unknown != nil {
			var err error
			if next, err = r.unknown(n, field.key); err != nil {
				return nil, err
			}
		}
		if next != nil && next.act == kind && r.strict {
			if asked {
				return nil, errKindTwice
			}
			asked = true
		}
		value, err := r.value(next, field.value, decided)
		if err != nil {
			return nil, err
		}
		out = append(out, pair{renamed(n, field.key), value})
		if text, ok := field.value.(string); ok && next != nil && next.act == kind {
			decided = true
			if other := n.switches[text]; other != nil {
				n = other
			}
		}
	}
	return out, nil
}

// scanned is what a scanner makes of data in pieces.
func scanned(s *scanner, data []byte, piece int) ([]byte, error) {
	var out []byte
	for rest := data; len(rest) > 0; {
		n := min(piece, len(rest))
		err := s.feed(rest[:n])
		ready := s.ready()
		out = append(out, s.out[:ready]...)
		s.written(ready)
		if err != nil {
			return out, err
		}
		rest = rest[n:]
	}
	return out, s.finish()
}

// FuzzAnswers compares the scanner with the mapping of trees, for all that is JSON, and has it
// make JSON of nothing else.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"kind":"Table","rows":[{"cells":["shop-a"],"object":{"metadata":{"namespace":"shop-a","name":"x"}}}]}`,
		`{"items":[{"metadata":{"namespace":"shop-a","labels":{"kubefed.io/managed":"true","a\u002fb":""},"managedFields":[{"fieldsV1":{"f:metadata":{"f:labels":{"f:kubefed.io/managed":{}}}}}]}}]}`,
		`{"type":"ERROR","object":{"kind":"Status","message":"in shop-a.","details":{"name":"shop-a"}}}` + "\n" + `{"type":"ADDED","object":{"metadata":{"name":"shop-a"}}}`,
		`{"subjects":[{"name":"system:serviceaccount:shop-a:x","namespace":"shop"}],"spec":{"ingress":[{"from":[{"namespaceSelector":{"matchExpressions":[{"key":"kubernetes.io/metadata.name","values":["shop-a"]}]}}]}]}}`,
		`{"spec":{"resourceAttributes":{"resource":"namespaces","name":"shop-a","namespace":"shop-a"}}}`,
		`{"spec":{"affinity":{"podAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"namespaces":["shop-a",1,"\\\"",{}]}]}}},"a":[{"}":"]\\"}]}`,
		`{"metadata":{"namespace":"kube-system"}}`, `[1.5e3,true,null,"\ud800"]`, `{"metadata":[{"namespace":"x"}]}`, "\"\xff\"", `{"a":1]`, `1 2`,
	} {
		for kind := range byte(len(fuzzedTypes)) {
			f.Add(kind, byte(3), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, selection, piece byte, data []byte) {
		if len(data) > maxToken/2 {
			return // strings that are too long are not decoded
		}
		rules := newRules(fuzzedTypes[int(selection)%len(fuzzedTypes)])
		how := mode(int(selection)/len(fuzzedTypes)%3) + objects
		doc := rules.tables[how]
		s := newScanner(doc, how == events)
		s.replace = fuzzed.incoming
		out, err := scanned(s, data, int(piece)+1)
		compare(t, ofTrees{replace: fuzzed.incoming}, doc, how == events, data, out, err)
	})
}

// FuzzBodies does the same for what is sent, and maps it back.
func FuzzBodies(f *testing.F) {
	for _, seed := range []string{
		`{"metadata":{"name":"shop","namespace":"shop","labels":{"kubefed.io/managed":"true","federation.koinon.io/kubefed-managed":""},"annotations":{"federation.koinon.io/owner":"cell/shop/a"}}}`,
		`{"metadata":{"Namespace":"x"}}`, `{"metadata":{"n\u0061mespace":"shop-a"}}`,
		`{"subjects":[{"name":"system:serviceaccount:shop:x","namespace":"shop"},{"name":"system:serviceaccounts:shop"}]}`,
		`{"spec":{"ingress":[{"from":[{"namespaceSelector":{"matchExpressions":[{"values":["shop"],"key":"kubernetes.io/metadata.name"}]}}]}]}}`,
		`{"spec":{"ingress":[{"from":[{"namespaceSelector":{"matchExpressions":[{"key":"kubernetes.io/metadata.name","values":["shop-a","shop","x"]}]}}]}]}}`,
		`{"spec":{"resourceAttributes":{"resource":"namespaces","name":"shop","namespace":"shop"}}}`,
		`{"metadata":{"labels":{"$patch":"replace","$retainKeys":[]}},"$setElementOrder/subjects":[{}]}`,
	} {
		for kind := range byte(len(fuzzedTypes)) {
			f.Add(kind, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, selection byte, data []byte) {
		if len(data) > maxToken/2 || !json.Valid(data) {
			return // refused before
		}
		rules := newRules(fuzzedTypes[int(selection)%len(fuzzedTypes)])
		out, err := fuzzed.outgoing(rules.object, data)
		compare(t, ofTrees{fuzzed.outgoingText, fuzzed.unknownKey, true}, rules.object, false, data, out, err)
		if err != nil {
			return
		}
		s := newScanner(rules.object, false)
		s.replace = fuzzed.incoming
		back, err := scanned(s, out, 1)
		if err != nil {
			t.Fatalf("%s became %s, which does not come back: %v", data, out, err)
		}
		was, _ := trees(data)
		is, err := trees(back)
		if err != nil || !reflect.DeepEqual(was, is) {
			t.Errorf("%s became %s and came back as %s (%v)", data, out, back, err)
		}
	})
}

// compare checks what was made of data against the mapping of its tree.
func compare(t *testing.T, r ofTrees, doc *node, stream bool, data, out []byte, err error) {
	t.Helper()
	isJSON := json.Valid
	if stream {
		isJSON = func(data []byte) bool { _, err := trees(data); return err == nil }
	}
	if !isJSON(data) {
		if err == nil && isJSON(out) {
			t.Errorf("%q is no JSON, and became %q", data, out)
		}
		return
	}
	in, readErr := trees(data)
	if readErr != nil {
		t.Fatalf("read %q: %v", data, readErr)
	}
	var want []any
	var wantErr error
	for _, value := range in {
		mapped, err := r.value(doc, value, false)
		if err != nil {
			wantErr = err
			break
		}
		want = append(want, mapped)
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s: got error %v, want %v", data, err, wantErr)
	}
	if err != nil {
		return
	}
	got, readErr := trees(out)
	if readErr != nil || !isJSON(out) || !reflect.DeepEqual(want, got) {
		t.Errorf("%s became %s (%v), want %v", data, out, readErr, want)
	}
}

// A member that sends without end costs no more than the bounds.
func TestMemoryIsBounded(t *testing.T) {
	const (
		pieceBytes = 32 << 10
		sentBytes  = 16 << 20
		// Slices grow by doubling, and a piece is copied behind what is kept.
		most = 2 * (maxHeld + 2*pieceBytes)
	)
	for sentence, test := range map[string]struct{ start, endless string }{
		"text in an object that is shown": {`{"items":[{"metadata":{"namespace":"shop-a"},"data":"`, "x"},
		"text in one that is held":        {`{"items":[{"data":"`, "x"},
		"backslashes":                     {`{"items":[{"metadata":{"namespace":"shop-a"},"data":"`, `\\`},
		"a key":                           {`{"items":[{"metadata":{"namespace":"shop-a"},"`, "x"},
		"a namespace":                     {`{"items":[{"metadata":{"namespace":"`, "x"},
		"a message":                       {`{"kind":"Status","message":"`, "x"},
		"a number":                        {`{"items":[`, "1"},
		"white space":                     {`{"items":`, " "},
		"items":                           {`{"items":[`, `{"metadata":{"namespace":"shop-a"}},`},
		"objects in one another":          {`{"items":[`, `{"a":`},
		"known objects in one another":    {`{"items":[`, `{"metadata":`},
		"arrays in one another":           {`{"items":[{"metadata":{"namespace":"shop-a"},"a":`, `[`},
		"labels":                          {`{"items":[{"metadata":{"namespace":"shop-a","labels":{`, `"kubefed.io/managed":"",`},
		"names that are known":            {`{"items":[{"metadata":{`, `"namespace":"shop-a",`},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newScanner(newRules(custom).answers[lists], false)
			s.replace = fuzzed.incoming
			piece := bytes.Repeat([]byte(test.endless), pieceBytes/len(test.endless))
			err := s.feed([]byte(test.start))
			for sent := 0; sent < sentBytes && err == nil; sent += len(piece) {
				err = s.feed(piece)
				s.written(s.ready())
				if kept := cap(s.out) + cap(s.token); kept > most {
					t.Fatalf("after %d bytes %d are kept", sent, kept)
				}
			}
		})
	}
}

func TestASilentWatchKeepsNothing(t *testing.T) {
	s := newScanner(newRules(custom).answers[events], true)
	s.replace = fuzzed.incoming
	event := `{"type":"ADDED","object":{"metadata":{"namespace":"shop-a"},"data":"` + string(bytes.Repeat([]byte("x"), 100<<10)) + `"}}`
	if err := s.feed([]byte(event)); err != nil {
		t.Fatal(err)
	}
	if s.written(s.ready()); cap(s.out)+cap(s.token) > 4<<10 {
		t.Errorf("%d bytes are kept", cap(s.out)+cap(s.token))
	}
}
