package cellview_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
)

// podList is a list as an API server answers it: pods of about 2.5 KiB with what API servers
// add to them.
func podList(count int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[`)
	for i := range count {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"metadata":{"name":"web-%d","generateName":"web-","namespace":"shop-rz00a","uid":"9f6a3b1c-7f0e-4a53-9d0e-%012d","resourceVersion":"%d","creationTimestamp":"2026-11-29T08:00:00Z",`+
			`"labels":{"app":"web","pod-template-hash":"5d4f8c7b9","tier":"front"},"annotations":{"checksum/config":"0b1f","note":"said \"hello\" to a\\b"},`+
			`"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-5d4f8c7b9","uid":"1b0c","controller":true,"blockOwnerDeletion":true}],`+
			`"managedFields":[{"manager":"kube-controller-manager","operation":"Update","apiVersion":"v1","time":"2026-11-29T08:00:00Z","fieldsType":"FieldsV1","fieldsV1":{"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:tier":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"1b0c\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:image":{},"f:imagePullPolicy":{},"f:name":{},"f:resources":{".":{},"f:limits":{".":{},"f:cpu":{},"f:memory":{}}},"f:terminationMessagePath":{}}},"f:dnsPolicy":{},"f:restartPolicy":{}}}}]},`+
			`"spec":{"volumes":[{"name":"kube-api-access","projected":{"sources":[{"serviceAccountToken":{"expirationSeconds":3607,"path":"token"}},{"configMap":{"name":"kube-root-ca.crt","items":[{"key":"ca.crt","path":"ca.crt"}]}}],"defaultMode":420}}],`+
			`"containers":[{"name":"web","image":"registry.example.com/shop/web@sha256:0000000000000000000000000000000000000000000000000000000000000000","ports":[{"containerPort":8080,"protocol":"TCP"}],"env":[{"name":"A","value":"1"},{"name":"B","value":"2"}],"resources":{"limits":{"cpu":"500m","memory":"256Mi"},"requests":{"cpu":"100m","memory":"128Mi"}},"volumeMounts":[{"name":"kube-api-access","readOnly":true,"mountPath":"/var/run/secrets/kubernetes.io/serviceaccount"}],"terminationMessagePath":"/dev/termination-log","terminationMessagePolicy":"File","imagePullPolicy":"IfNotPresent"}],`+
			`"restartPolicy":"Always","terminationGracePeriodSeconds":30,"dnsPolicy":"ClusterFirst","serviceAccountName":"default","nodeName":"node-7","schedulerName":"default-scheduler","tolerations":[{"key":"node.kubernetes.io/not-ready","operator":"Exists","effect":"NoExecute","tolerationSeconds":300}],"priority":0},`+
			`"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-29T08:00:09Z"},{"type":"PodScheduled","status":"True","lastProbeTime":null,"lastTransitionTime":"2026-11-29T08:00:00Z"}],"hostIP":"10.0.0.7","podIP":"10.1.0.9","startTime":"2026-11-29T08:00:00Z","qosClass":"Burstable"}}`, i, i, i)
	}
	b.WriteString("]}\n")
	return b.Bytes()
}

// BenchmarkList maps a list of 10,000 pods as it comes from a connection, beside what else
// could be done with it.
func BenchmarkList(b *testing.B) {
	list := podList(10000)
	m, err := shop.Request(requestOf("/api/v1/pods"), scopes{})
	if err != nil {
		b.Fatal(err)
	}
	const pieceBytes = 32 << 10
	pieces := func(w io.Writer) error {
		for rest := list; len(rest) > 0; {
			n := min(pieceBytes, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		return nil
	}
	run := func(name string, do func() error) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(list)))
			b.ReportAllocs()
			for b.Loop() {
				if err := do(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("copied", func() error {
		buffer := make([]byte, 0, pieceBytes)
		return pieces(writerFunc(func(p []byte) (int, error) {
			buffer = append(buffer[:0], p...)
			return io.Discard.Write(buffer)
		}))
	})
	run("mapped", func() error {
		w, err := m.Answer.Writer(io.Discard, http.StatusOK, "application/json")
		if err != nil {
			return err
		}
		if err := pieces(w); err != nil {
			return err
		}
		return w.Close()
	})
	run("checked by encoding/json", func() error {
		if !json.Valid(list) {
			return io.ErrUnexpectedEOF
		}
		return nil
	})
	run("decoded into maps and back", func() error {
		var tree any
		if err := json.Unmarshal(list, &tree); err != nil {
			return err
		}
		return json.NewEncoder(io.Discard).Encode(tree)
	})
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
