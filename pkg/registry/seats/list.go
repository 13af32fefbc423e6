package seats

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	metainternalversion "k8s.io/apimachinery/pkg/apis/meta/internalversion"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	genericapirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/registry/rest"
)

// ListFrom lists the holders in storage, in all namespaces. holder makes one of an
// item.
func ListFrom(lister rest.Lister, holder func(item runtime.Object) Holder) List {
	return func(ctx context.Context) ([]Holder, error) {
		everywhere := genericapirequest.WithNamespace(ctx, metav1.NamespaceAll)
		// No resource version: what was stored a moment ago must be in the list.
		list, err := lister.List(everywhere, &metainternalversion.ListOptions{})
		if err != nil {
			return nil, err
		}
		var holders []Holder
		err = meta.EachListItem(list, func(item runtime.Object) error {
			holders = append(holders, holder(item))
			return nil
		})
		return holders, err
	}
}
