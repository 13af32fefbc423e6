package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// defaultAccountNamespace and defaultAccount are the account that a join makes in a member.
const defaultAccountNamespace, defaultAccount = "koinon-system", "koinon"

// memberAccount is what join and unjoin are told of a member: how it is reached, and where its
// KubeFedCluster and the account in it are.
type memberAccount struct {
	member                            memberFlags
	System, AccountNamespace, Account string
}

func (m *memberAccount) addFlags(cmd *cobra.Command, flags *connection) {
	m.member.addFlags(cmd.Flags())
	completeContexts(cmd, "cluster-context", flags)
	cmd.Flags().StringVar(&m.System, "kubefed-namespace", v1beta1.DefaultNamespace, "The namespace of KubeFedClusters.")
	cmd.Flags().StringVar(&m.AccountNamespace, "account-namespace", defaultAccountNamespace, "The namespace of the member for the account.")
	cmd.Flags().StringVar(&m.Account, "account", defaultAccount, "The name of the account.")
}

// validate looks at the flags, and at the name of the member.
func (m *memberAccount) validate(name string) error {
	if err := validateMemberName(name); err != nil {
		return err
	}
	if err := m.member.validate(); err != nil {
		return err
	}
	for _, flag := range [][2]string{{"--kubefed-namespace", m.System}, {"--account-namespace", m.AccountNamespace}, {"--account", m.Account}} {
		if problems := validation.IsDNS1123Label(flag[1]); len(problems) > 0 {
			return fmt.Errorf("%s is %q: %s", flag[0], flag[1], problems[0])
		}
	}
	return nil
}

// validateMemberName is what the API says of the name of a member, said before anything is made.
func validateMemberName(name string) error {
	if strings.Contains(name, ".") {
		return fmt.Errorf("%q is no name of a member: one with a dot is of the KubeFedCluster of a cell or an edge unit", name)
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return fmt.Errorf("%q is no name of a member: %s", name, problems[0])
	}
	return nil
}
