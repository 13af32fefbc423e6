package datastorecmd

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/pkg/storage/admin"
	"github.com/koinon-io/koinon/pkg/storage/archive"
)

// restoreOptions are those of "restore".
type restoreOptions struct {
	datastoreOptions
	bump  int64
	force bool
}

func newRestoreCommand(config Config) *cobra.Command {
	options := restoreOptions{datastoreOptions: datastoreOptions{config: config}}
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Make the contents of a backup those of the datastore",
		Long: `Make the contents of a backup those of the datastore, all at once.

The whole file is checked before anything else is done; - stands for standard input. In a
datastore that was never written to, keys keep the revisions that they had. One that has
contents is left alone without --force. With it, the keys of the backup come in the place of
everything that is there, under new revisions, also while servers use it: they notice within
a second, and their clients get an error that makes them list everything again.

Revisions go on --bump-revision above the last one that is known, and all before are
compacted: clients have seen revisions that were given out after the backup was made, and
would otherwise wait for them to come, or take another object for the one they know.

Interrupted or killed, it leaves the datastore as it was. What it has prepared until then is
invisible, and is removed by the next restore, or by koinon datastore compact
--discard-staged. An etcd must be empty, and gives its own revisions; interrupted, it has a
part of the keys, servers refuse it, and the same command goes on where it was.`,
		Example: `  # On a new machine; then copy the encryption key, and start the server
  koinon datastore restore --data-dir /var/lib/koinon /backup/koinon-2026-01-31

  # Go back to yesterday, in place
  koinon datastore backup /backup/before-going-back
  koinon datastore restore --force /backup/koinon-2026-01-30`,
		Args: arguments("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return options.run(cmd, args[0]) },
	}
	options.addFlags(cmd.Flags())
	cmd.Flags().BoolVar(&options.force, "force", false, "Replace what the datastore holds. It cannot be had back.")
	cmd.Flags().Int64Var(&options.bump, "bump-revision", admin.DefaultBump, "How far above the last known revision the next one is: more than were given out since the backup was made.")
	return cmd
}

func (o *restoreOptions) run(cmd *cobra.Command, path string) error {
	if o.bump < 0 {
		return fmt.Errorf("--bump-revision is %d: it must be 0 or more", o.bump)
	}
	store, err := o.store()
	if err != nil {
		return err
	}
	dir := o.filled(store)
	defer dir.end()
	return withProgress(cmd, "run it again; a database is as it was before, and an etcd that was empty has a part of the keys", func(ctx context.Context, progress *archive.Progress, warn func(string)) error {
		restored, err := admin.Restore(ctx, store, path, admin.RestoreOptions{
			Bump: o.bump, Force: o.force, Begin: dir.begin, In: cmd.InOrStdin(), Warn: warn, Progress: progress,
		})
		if err != nil {
			return err
		}
		return printRestored(cmd.OutOrStdout(), "Restored", restored, store)
	})
}

func printRestored(out io.Writer, done string, restored admin.Restored, into admin.Store) error {
	line := fmt.Sprintf("%s %d keys at revision %d of the %s to the %s", done, restored.Keys, restored.Revision, restored.From, into)
	if restored.Tail == 0 {
		line += ", which has given them revisions of its own"
	} else if restored.Tail != restored.Revision {
		line += fmt.Sprintf(", where revisions go on above %d", restored.Tail)
	}
	_, err := fmt.Fprintln(out, line+".")
	return err
}
