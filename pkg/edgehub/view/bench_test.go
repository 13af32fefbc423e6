package view

import (
	"fmt"
	"strings"
	"testing"
)

// What kubelet reads of all Services, each of some 2 KiB with its managed fields.
func BenchmarkSelectServices(b *testing.B) {
	wide, _ := NewKey("", "v1", "services", "", "", "")
	narrow, _ := NewKey("", "v1", "services", "", "", "spec.clusterIP!=None")
	f, ok := Narrow(wide, narrow)
	if !ok {
		b.Fatal("it is not narrower")
	}
	var objects []*Object
	for i := range 1000 {
		body := fmt.Sprintf(`{"kind":"Service","apiVersion":"v1","metadata":{"name":"s%d","namespace":"ns","resourceVersion":"7","labels":{"app":"s"},"managedFields":[{"fieldsV1":%q}]},"spec":{"ports":[{"port":80}],"clusterIP":"10.0.0.1","clusterIPs":["10.0.0.1"]},"status":{"loadBalancer":{}}}`, i, strings.Repeat("x", 1600))
		objects = append(objects, &Object{fmt.Sprintf("ns/s%d", i), 7, []byte(body)})
	}
	b.ReportAllocs()
	for b.Loop() {
		if len(f.List(objects)) != len(objects) {
			b.Fatal("some are missing")
		}
	}
}
