package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/koinon-io/koinon/pkg/apis/kubefed/types/v1beta2"
)

// completeObjects offers TYPE/, then TYPE/NAME, and behind it the names of targets. It says nothing when
// names cannot be had.
func completeObjects(flags *connection, system *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		source, err := loadSource(flags)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		h, err := newHub(source, *system)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		typeWord, _, named := strings.Cut(begun, "/")
		switch {
		case cmd.Name() == "explain" && len(args) == 1, cmd.Name() == "abandon" && len(args) > 0:
			return h.targetNames(ctx, args[0], source.namespace, begun), cobra.ShellCompDirectiveNoFileComp
		case cmd.Name() == "explain" && len(args) > 1:
			return nil, cobra.ShellCompDirectiveNoFileComp
		case named:
			return h.objectNames(ctx, typeWord, source.namespace, begun), cobra.ShellCompDirectiveNoFileComp
		}
		return h.typeNames(ctx, begun), cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	}
}

// completeTargetNames offers what the first object could be in, behind the names that are there already.
func completeTargetNames(flags *connection, system *string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
		if len(args) == 0 {
			return nil, directive
		}
		source, err := loadSource(flags)
		if err != nil {
			return nil, directive
		}
		h, err := newHub(source, *system)
		if err != nil {
			return nil, directive
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		before := begun[:strings.LastIndex(begun, ",")+1]
		names := h.targetNames(ctx, args[0], source.namespace, begun[len(before):])
		for i := range names {
			names[i] = before + names[i]
		}
		return names, directive
	}
}

func (h *hub) typeNames(ctx context.Context, begun string) (names []cobra.Completion) {
	types, _ := h.types(ctx)
	for i := range types {
		if name := strings.ToLower(types[i].Spec.FederatedType.Kind) + "/"; strings.HasPrefix(name, begun) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func (h *hub) objectNames(ctx context.Context, typeWord, namespace, begun string) (names []cobra.Completion) {
	ftc, err := h.typeOf(ctx, typeWord)
	if err != nil {
		return nil
	}
	answer, _, err := h.do(ctx, sent{
		verb: http.MethodGet, path: federatedPath(ftc, v1beta2.SchemeGroupVersion.Version, namespace, ""), query: map[string]string{"limit": "500"},
	})
	var list metav1.PartialObjectMetadataList
	if err != nil || json.Unmarshal(answer, &list) != nil {
		return nil
	}
	for _, item := range list.Items {
		if name := typeWord + "/" + item.Name; strings.HasPrefix(name, begun) {
			names = append(names, name)
		}
	}
	return names
}

// targetNames are those of what the object could be in.
func (h *hub) targetNames(ctx context.Context, object, namespace, begun string) (names []cobra.Completion) {
	typeWord, name, err := splitObject(object)
	if err != nil {
		return nil
	}
	ftc, federated, err := h.object(ctx, typeWord, namespace, name)
	if err != nil {
		return nil
	}
	l, err := look(ctx, h, ftc, federated)
	if err != nil {
		return nil
	}
	for name := range l.candidates {
		if strings.HasPrefix(name, begun) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
