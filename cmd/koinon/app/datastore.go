package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/koinon-io/koinon/pkg/storage/admin"
	"github.com/koinon-io/koinon/pkg/storage/archive"
	"github.com/koinon-io/koinon/pkg/version"
)

// datastoreOptions are what the commands on a datastore have in common, and with the server.
type datastoreOptions struct {
	DataDir   string
	Datastore string
	Access    admin.Access
}

func newDatastoreCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "datastore",
		Short: "Look at the datastore, back it up, restore it, move to another one",
		Long: `Look at the datastore, compact it, back it up, restore it, and move to another one.

All commands find the datastore as "koinon server" does: --datastore, or else the
environment variable KOINON_DATASTORE, or else SQLite in --data-dir. Each can be interrupted
at any moment and run again.`,
		// The default would repeat an unknown command, which may be a data source name.
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("unknown command: see koinon datastore --help")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		newStatusCommand(), newBackupCommand(), newRestoreCommand(), newMigrateCommand(), newCompactCommand(), newSchemaCommand(),
	)
	return cmd
}

// addFlags adds the flags of the server that say where its datastore is.
func (o *datastoreOptions) addFlags(fs *pflag.FlagSet) {
	o.DataDir = defaultDataDir
	fs.StringVar(&o.DataDir, "data-dir", o.DataDir, "The data directory of the server, for a datastore in it.")
	addDatastoreFlags(fs, &o.Datastore, &o.Access.PasswordFile, &o.Access.TLS)
}

// store is the datastore that is meant.
func (o *datastoreOptions) store() (admin.Store, error) {
	value := o.Datastore
	if value == "" {
		value = os.Getenv(datastoreVariable)
	}
	return admin.Parse(value, o.DataDir, o.Access)
}

// filled is the data directory of a store that is to get contents, if it lies in one.
type filled struct {
	path  string
	store admin.Store
	dir   *dataDir
}

// begin makes the directory, so that a server takes it for its own, and locks it, unless a
// server has it.
func (f *filled) begin() error {
	absolute, err := filepath.Abs(f.path)
	if err != nil || filepath.Dir(f.store.Path()) != absolute {
		return err
	}
	dir, err := openDataDir(f.path)
	if errors.Is(err, errDataDirInUse) {
		return nil
	}
	f.dir = dir
	return err
}

// end gives the directory free.
func (f *filled) end() {
	if f.dir != nil {
		_ = f.dir.Close()
	}
}

// withProgress calls do and shows how far it is. What is interrupted gets a sentence that
// says what that means.
func withProgress(cmd *cobra.Command, interrupted string, do func(ctx context.Context, progress *archive.Progress, warn func(string)) error) error {
	ctx, out := cmd.Context(), cmd.ErrOrStderr()
	var progress archive.Progress
	stop := showProgress(out, &progress)
	defer stop()
	err := do(ctx, &progress, func(sentence string) {
		if isTerminal(out) {
			_, _ = fmt.Fprint(out, clearLine)
		}
		_, _ = fmt.Fprintf(out, "Note: %s.\n", sentence)
	})
	if err != nil && ctx.Err() != nil {
		return errors.New("interrupted: " + interrupted)
	}
	return err
}

// arguments wants exactly as many as have names. It does not repeat what was given.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		if len(names) == 0 {
			return fmt.Errorf("%s takes no arguments, and %d were given", cmd.CommandPath(), len(args))
		}
		return fmt.Errorf("%s takes %s, and %d arguments were given", cmd.CommandPath(), strings.Join(names, " and "), len(args))
	}
}

func newBackupCommand() *cobra.Command {
	var options datastoreOptions
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

// restoreOptions are those of "restore".
type restoreOptions struct {
	datastoreOptions
	bump  int64
	force bool
}

func newRestoreCommand() *cobra.Command {
	var options restoreOptions
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
	dir := filled{path: o.DataDir, store: store}
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

// migrateOptions are those of "migrate".
type migrateOptions struct {
	datastoreOptions
	from  admin.Access
	force bool
}

// variablePrefix is before the name of an environment variable that holds a datastore.
const variablePrefix = "env:"

func newMigrateCommand() *cobra.Command {
	var options migrateOptions
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
	fs.StringVar(&options.DataDir, "data-dir", defaultDataDir, "The data directory of the server, for a datastore in it.")
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
	dir := filled{path: o.DataDir, store: store}
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

// compactOptions are those of "compact".
type compactOptions struct {
	datastoreOptions
	keep    int64
	discard bool
}

func newCompactCommand() *cobra.Command {
	var options compactOptions
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

func newSchemaCommand() *cobra.Command {
	kind := "mysql"
	cmd := &cobra.Command{
		Use:   "schema",
		Short: "Print the SQL that makes the tables",
		Long: `Print the SQL that makes the tables, for databases in which programs may not make any.

The first start of a server makes the tables that are not there. If all of them are, it needs
no other privileges than SELECT, INSERT, UPDATE and DELETE on them. Nothing is sent anywhere.`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			schema, err := admin.Schema(kind)
			if err != nil {
				return err
			}
			_, err = io.WriteString(cmd.OutOrStdout(), schema)
			return err
		},
	}
	cmd.Flags().StringVar(&kind, "kind", kind, "For which kind of database: mysql (also MariaDB, OceanBase, TiDB) or sqlite.")
	return cmd
}
