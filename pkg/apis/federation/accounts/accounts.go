// Package accounts has the names of what each cell has to be reached by clients that know
// KubeFedClusters only: its endpoint, and an account of the host that may use this endpoint and no
// other. The controllers make these, the proxy tells by name whose account a caller is, and
// members know him by the name that InMembers gives. See ADR 22.
//
// All names follow from those of the cell. The functions are pure and may be called concurrently.
package accounts

import (
	"strings"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/topology"
	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

const (
	// prefix begins the names of accounts. What follows is the KubeFedCluster that the cell appears
	// as, so that no two cells share one.
	prefix = "cell-"
	// userPrefix begins the user names of service accounts.
	userPrefix = "system:serviceaccount:"
	// hostPrefix begins names of the host that would mean somebody else in a member.
	hostPrefix = "host:"
	// rolePrefix begins the names of roles that the controllers make.
	rolePrefix = "koinon:cell:"
)

// Name returns the ServiceAccount of a cell, in the system namespace.
func Name(namespace, cell string) string {
	return prefix + topology.ClusterName(v1beta2.TopologyCell, namespace, cell)
}

// SecretNames returns the two Secrets in the system namespace that take turns in holding the token of
// the account: a KubeFed controller reads a Secret when its KubeFedCluster names another one than
// before. A namespace has no dot, so that these are no other cell's.
func SecretNames(namespace, cell string) [2]string {
	name := Name(namespace, cell)
	return [2]string{name + ".a", name + ".b"}
}

// RoleName returns the Role and the RoleBinding in the cell's namespace of the host.
func RoleName(cell string) string { return rolePrefix + cell }

// MemberRoleName returns the RoleBinding in the cell's namespace of its member, and the ClusterRole
// and the ClusterRoleBinding there. They are named for that namespace: it has one owner.
func MemberRoleName(memberNamespace string) string { return rolePrefix + memberNamespace }

// UserName returns how the host calls the account of a cell.
func UserName(systemNamespace, namespace, cell string) string {
	return userPrefix + systemNamespace + ":" + Name(namespace, cell)
}

// CellOf returns the cell that a user is the account of, there or not. The name decides, and not who
// made the account.
func CellOf(systemNamespace, user string) (namespace, cell string, ok bool) {
	name, ok := strings.CutPrefix(user, userPrefix+systemNamespace+":"+prefix)
	if !ok {
		return "", "", false
	}
	cell, namespace, ok = topology.Split(v1beta2.TopologyCell, name)
	return namespace, cell, ok
}

// InMembers is what a user or group of the host is called in members. Names that Kubernetes gives by
// itself mean somebody else there: the host's system:masters are not a member's, and its service
// accounts are not the member's of the same name. No two names become the same.
func InMembers(name string) string {
	for _, reserved := range []string{"system:", "kubeadm:", hostPrefix} {
		if strings.HasPrefix(name, reserved) {
			return hostPrefix + name
		}
	}
	return name
}
