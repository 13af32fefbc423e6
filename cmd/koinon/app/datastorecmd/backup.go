package datastorecmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/pkg/storage/admin"
	"github.com/koinon-io/koinon/pkg/storage/archive"
	"github.com/koinon-io/koinon/pkg/version"
)

func newBackupCommand(config Config) *cobra.Command {
	options := datastoreOptions{config: config}
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write everything in the datastore to a file",
		Long: `Write everything in the datastore, as it is at one revision, to a file.

Servers may go on writing meanwhile, and are not slowed down by more than the reading. FILE
appears, or is replaced, when it is complete and on the disk; until then it is called
FILE.partial. - stands for standard output. The file is readable for its owner only. It holds
what API servers encrypt in encrypted form, and everything else as it is: keep the encryption
key (DATA_DIR/encryption, or the file of --encryption-provider-config) elsewhere, and keep it:
without it the Secrets in the backup cannot be read.

Interrupted, it leaves no FILE; killed, it may leave FILE.partial, which the next one replaces.`,
		Example: `  # Every night
  koinon datastore backup --data-dir /var/lib/koinon /backup/koinon-$(date +%F)

  # From a database
  KOINON_DATASTORE='mysql://koinon:PASSWORD@db.example/koinon' koinon datastore backup - | ssh vault 'cat > koinon'`,
		Args: arguments("a FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return options.backup(cmd, args[0]) },
	}
	options.addFlags(cmd.Flags())
	return cmd
}

func (o *datastoreOptions) backup(cmd *cobra.Command, path string) error {
	store, err := o.store()
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if path == admin.Stdio && isTerminal(out) {
		return errors.New("standard output is a terminal, and a backup is not text: give a FILE, or send the output elsewhere")
	}
	return withProgress(cmd, "there is no new backup", func(ctx context.Context, progress *archive.Progress, _ func(string)) error {
		header, err := admin.Backup(ctx, store, path, admin.BackupOptions{Software: version.Version(), Out: out, Progress: progress})
		if err != nil {
			return err
		}
		if path == admin.Stdio {
			out = cmd.ErrOrStderr()
		}
		_, err = fmt.Fprintf(out, "Backed up %d keys of the %s at revision %d.\n", header.Keys, store, header.Revision)
		return err
	})
}
