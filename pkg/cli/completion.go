package cli

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// completionPatience is how long a shell waits for names.
const completionPatience = 3 * time.Second

// completeTargets offers the names that parseTarget reads. It says nothing when names cannot be
// had: a shell has no place for errors.
func completeTargets(flags *connection) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		source, err := loadSource(flags)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		federation, err := source.newFederation(source.server)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		return federation.completions(ctx, source.namespace, begun), cobra.ShellCompDirectiveNoFileComp
	}
}

// completeMembers offers the names of clusters.
func completeMembers(flags *connection) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		source, err := loadSource(flags)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		federation, err := source.newFederation(source.server)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		names, _ := federation.list(ctx, cluster, "")
		return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, begun) }), cobra.ShellCompDirectiveNoFileComp
	}
}

// completions are words with descriptions. Names that are both a cluster's and a cell's are offered
// in the form that tells them apart.
func (f *federation) completions(ctx context.Context, namespace, begun string) []cobra.Completion {
	clusters, _ := f.list(ctx, cluster, "")
	cells, _ := f.list(ctx, cell, namespace)
	var out []cobra.Completion
	offer := func(of kind, description string, names, others []string) {
		for _, name := range names {
			word := string(of) + "/" + name
			if !strings.Contains(begun, "/") && !slices.Contains(others, name) {
				word = name
			}
			if strings.HasPrefix(word, begun) {
				out = append(out, cobra.CompletionWithDesc(word, description))
			}
		}
	}
	offer(cluster, "cluster", clusters, cells)
	offer(cell, "cell of "+namespace, cells, clusters)
	return out
}

// completeNames offers, for a flag, the clusters, or cells of the namespace, that there are, behind those that are there already.
func completeNames(cmd *cobra.Command, flag string, flags *connection, of kind) {
	// The only error is that there is no such flag, which a test would see.
	_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, begun string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp
		source, err := loadSource(flags)
		if err != nil {
			return nil, directive
		}
		federation, err := source.newFederation(source.server)
		if err != nil {
			return nil, directive
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionPatience)
		defer cancel()
		before := begun[:strings.LastIndex(begun, ",")+1]
		all, _ := federation.list(ctx, of, source.namespace)
		for _, name := range all {
			if strings.HasPrefix(name, begun[len(before):]) {
				names = append(names, before+name)
			}
		}
		return names, directive
	})
}

// completeContexts offers the contexts of the kubeconfig for a flag.
func completeContexts(cmd *cobra.Command, flag string, flags *connection) {
	// The only error is that there is no such flag, which a test would see.
	_ = cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, _ []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		raw, err := flags.loader().RawConfig()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(raw.Contexts)), func(name string) bool { return !strings.HasPrefix(name, begun) })
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}
