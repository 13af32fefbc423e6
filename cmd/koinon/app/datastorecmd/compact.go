package datastorecmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/pkg/storage/admin"
	"github.com/koinon-io/koinon/pkg/storage/archive"
)

// compactOptions are those of "compact".
type compactOptions struct {
	datastoreOptions
	keep    int64
	discard bool
}

func newCompactCommand(config Config) *cobra.Command {
	options := compactOptions{datastoreOptions: datastoreOptions{config: config}}
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Delete history and give its space back",
		Long: `Delete history and give its space back.

API servers do it every five minutes by themselves. Servers may run meanwhile. Whoever reads
at, or watches from, a revision that is older than --keep revisions has to list again.

Rows are deleted some at a time, with pauses for servers. SQLite gives the space back to the
file system, and rewrites a file that another program has made so that it could not, if no
server uses it. MySQL uses the space again; OPTIMIZE TABLE koinon_log gives it back. An etcd
is only compacted: etcdctl defrag gives space back.

Interrupted or killed, it has deleted less; the next one does the rest.`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error { return options.run(cmd) },
	}
	options.addFlags(cmd.Flags())
	cmd.Flags().Int64Var(&options.keep, "keep", admin.DefaultKeep, "How many of the latest revisions to keep, for those who read or watch at this moment.")
	cmd.Flags().BoolVar(&options.discard, "discard-staged", false, "Delete what a restore or migration has prepared that was interrupted. One that runs fails.")
	return cmd
}

func (o *compactOptions) run(cmd *cobra.Command) error {
	store, err := o.store()
	if err != nil {
		return err
	}
	return withProgress(cmd, "what is deleted is deleted, and the next one does the rest", func(ctx context.Context, progress *archive.Progress, warn func(string)) error {
		done, err := admin.Compact(ctx, store, admin.CompactOptions{Keep: o.keep, DiscardStaged: o.discard, Warn: warn, Progress: progress})
		if err != nil {
			return err
		}
		return printCompacted(cmd.OutOrStdout(), done, store)
	})
}

func printCompacted(out io.Writer, done admin.Compacted, store admin.Store) error {
	line := fmt.Sprintf("Compacted the %s to revision %d", store, done.Revision)
	if !done.Raised {
		line = fmt.Sprintf("The %s was compacted to revision %d already", store, done.Revision)
	}
	if done.SizeBefore > 0 {
		line += fmt.Sprintf(", deleted %d rows, size %s before and %s after", done.Deleted, byteSize(done.SizeBefore), byteSize(done.SizeAfter))
	}
	_, err := fmt.Fprintln(out, line+".")
	return err
}
