package validation

import (
	"fmt"
	"slices"
	"strings"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/core/v1beta1"
)

// ServedTypes returns the configurations whose federated kinds are served, sorted by name, and why others are not.
// Of two that want the same kind or resource, the older has it; of two that were created
// in the same second, the first by name: every server of a store decides alike, and so does
// whoever propagates.
func ServedTypes(configs []*v1beta1.FederatedTypeConfig) (accepted []*v1beta1.FederatedTypeConfig, conflicts map[*v1beta1.FederatedTypeConfig]string) {
	byAge := slices.SortedFunc(slices.Values(configs), func(a, b *v1beta1.FederatedTypeConfig) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	conflicts = map[*v1beta1.FederatedTypeConfig]string{}
	taken := map[string]string{}
	for _, config := range byAge {
		if problem := FederatedKindProblem(config.Spec.FederatedType.Kind); problem != "" {
			conflicts[config] = config.Spec.FederatedType.Kind + " " + problem
			continue
		}
		words := federatedWords(config)
		if reason := takenWord(words, taken); reason != "" {
			conflicts[config] = reason
			continue
		}
		for _, word := range words {
			taken[word] = config.Name
		}
		accepted = append(accepted, config)
	}
	slices.SortFunc(accepted, func(a, b *v1beta1.FederatedTypeConfig) int { return strings.Compare(a.Name, b.Name) })
	return accepted, conflicts
}

// federatedWords are the kind, its list, the resource and its singular.
func federatedWords(config *v1beta1.FederatedTypeConfig) []string {
	federated := &config.Spec.FederatedType
	return []string{federated.Kind, federated.Kind + "List", federated.PluralName, strings.ToLower(federated.Kind)}
}

func takenWord(words []string, taken map[string]string) string {
	for _, word := range words {
		if owner, ok := taken[word]; ok {
			return fmt.Sprintf("%s is served by FederatedTypeConfig %s already", word, owner)
		}
	}
	return ""
}

// WantTheSame reports whether two configurations cannot both be served.
func WantTheSame(a, b *v1beta1.FederatedTypeConfig) bool {
	words := federatedWords(b)
	return slices.ContainsFunc(federatedWords(a), func(word string) bool { return slices.Contains(words, word) })
}
