package datastorecmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/koinon-io/koinon/pkg/storage/admin"
	"github.com/koinon-io/koinon/pkg/storage/archive"
)

// migrateOptions are those of "migrate".
type migrateOptions struct {
	datastoreOptions
	from  admin.Access
	force bool
}

// variablePrefix is before the name of an environment variable that holds a datastore.
const variablePrefix = "env:"

func newMigrateCommand(config Config) *cobra.Command {
	options := migrateOptions{datastoreOptions: datastoreOptions{config: config}}
	cmd := &cobra.Command{
		Use:   "migrate FROM TO",
		Short: "Copy everything from one datastore into another",
		Long: `Copy everything from one datastore into another, which must be empty.

FROM and TO are written as for --datastore. FROM may also be kine+sqlite:///PATH or
kine+mysql://…: what Kine, or a Koinon before the first release, has in a database; TO may be
the same database. env:NAME stands for the value of an environment variable, which other
users of the machine cannot see. The --datastore-… files are for TO, the --from-… files for
FROM.

Stop all servers first. If the command finds one on either side, or if something was written
to FROM while it was copied, it refuses; with --force it goes on, and those writes are not in
the copy. Then start the servers on TO with the same data directories, or at least the same
encryption key. Keys keep their revisions, so that clients notice nothing. Only etcd gives
its own: there, clients have to list again, and those that cannot have to be restarted.

Interrupted or killed, it has changed nothing in FROM, and TO is as it was, but for an etcd:
that has a part of the keys, servers refuse it, and the same command goes on where it was.
FROM keeps its data in any case.`,
		Example: `  # From SQLite to a database that several servers can share
  export TO='mysql://koinon:PASSWORD@db.example/koinon'
  koinon datastore migrate sqlite:///var/lib/koinon/koinon.db env:TO

  # From Kine's tables to Koinon's, in the same file
  koinon datastore migrate kine+sqlite:///var/lib/koinon/koinon.db sqlite:///var/lib/koinon/koinon.db`,
		Args: arguments("FROM", "TO"),
		RunE: func(cmd *cobra.Command, args []string) error { return options.run(cmd, args[0], args[1]) },
	}
	fs := cmd.Flags()
	options.addDataDirFlag(fs)
	addAccessFlags(fs, "datastore", "TO", "TO", &options.Access.PasswordFile, &options.Access.TLS)
	addAccessFlags(fs, "from", "FROM", "FROM", &options.from.PasswordFile, &options.from.TLS)
	fs.BoolVar(&options.force, "force", false, "Do without what servers write to FROM meanwhile, and replace what TO holds, which cannot be had back; its keys get new revisions then, as in a restore.")
	return cmd
}

func (o *migrateOptions) run(cmd *cobra.Command, from, to string) error {
	source, err := parseArgument("FROM", "--from", from, o.DataDir, o.from, admin.ParseSource)
	if err != nil {
		return err
	}
	store, err := parseArgument("TO", "--datastore", to, o.DataDir, o.Access, admin.Parse)
	if err != nil {
		return err
	}
	dir := o.filled(store)
	defer dir.end()
	return withProgress(cmd, "run it again; a database is as it was before, and an etcd that was empty has a part of the keys", func(ctx context.Context, progress *archive.Progress, warn func(string)) error {
		migrated, err := admin.Migrate(ctx, source, store, admin.MigrateOptions{Force: o.force, Begin: dir.begin, Warn: warn, Progress: progress})
		if err != nil {
			return err
		}
		return printRestored(cmd.OutOrStdout(), "Copied", migrated, store)
	})
}

// parseArgument reads an argument that names a datastore. Errors call it by its name, and
// flags by their prefix.
func parseArgument(name, prefix, value, dataDir string, access admin.Access, parse func(string, string, admin.Access) (admin.Store, error)) (admin.Store, error) {
	if variable, found := strings.CutPrefix(value, variablePrefix); found {
		if value = os.Getenv(variable); value == "" {
			return admin.Store{}, fmt.Errorf("%s is in the environment variable %s, which is not set", name, variable)
		}
	}
	if value == "" {
		return admin.Store{}, fmt.Errorf("%s is empty: it must be a datastore, as for --datastore", name)
	}
	store, err := parse(value, dataDir, access)
	if err != nil {
		names := strings.NewReplacer("--datastore-", prefix+"-", "--datastore", name)
		return admin.Store{}, errors.New(names.Replace(err.Error()))
	}
	return store, nil
}
