package cellview

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
)

// View is a cell as its clients see it.
type View struct {
	// Namespace is the name that clients see: the namespace of the Cell in the host.
	Namespace string
	// MemberNamespace is the name of the namespace in the member. It may be the same.
	MemberNamespace string
	// Cell is the name of the Cell, for messages and for the mark of its namespace.
	Cell string
	// Controller: the client is the controller of the cell, with the account that the cell has for it. It
	// may change its namespace by PUT and PATCH, as KubeFed's labels it, and so what Pod Security
	// allows there; and it finds an empty world beside that namespace, where others are
	// refused: see Nothing.
	Controller bool
}

// Validate says what is wrong with the names. Other methods expect a valid View.
func (v View) Validate() error {
	for what, name := range map[string]string{"namespace": v.Namespace, "namespace of the member": v.MemberNamespace, "cell": v.Cell} {
		if faults := validation.IsDNS1123Label(name); len(faults) > 0 {
			return fmt.Errorf("view of cell %q: the name %q of the %s is no DNS label: %s", v.Cell, name, what, strings.Join(faults, ", "))
		}
	}
	return nil
}
