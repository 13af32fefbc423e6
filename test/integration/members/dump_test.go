package members_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/koinon-io/koinon/pkg/storage/storagetest"
	"github.com/koinon-io/koinon/test/testbed"
)

// longVariable has the tests run that "make test" has no time for: see "make test-credentials".
const longVariable = "KOINON_LONG"

func skipUnlessLong(t *testing.T) {
	t.Helper()
	if os.Getenv(longVariable) == "" {
		t.Skip("make test-credentials runs it")
	}
}

// public is in what is not secret: where it is not found, nothing else would be.
const public = "this-may-be-read-by-everybody"

// Nobody has said how to encrypt, and no credential is in the database: neither what is there now, nor what was changed or deleted.
func TestCredentialsAreEncryptedByDefault(t *testing.T) {
	t.Run("SQLite", func(t *testing.T) {
		koinon := testbed.StartKoinon(t, testbed.KoinonOptions{Args: withTunnel})
		k := &keeper{person: &person{T: t, kubeconfig: koinon.Kubeconfig()}, hidden: map[string][]byte{}}
		k.keeps()
		koinon.Stop(t)
		k.seeks(map[string][]byte{"the database": []byte(onDisk(t, koinon))})
	})
	t.Run("MariaDB", func(t *testing.T) {
		database := startWithBinaryLog(t)
		koinon := testbed.StartKoinon(t, testbed.KoinonOptions{Args: withTunnel, Datastore: "mysql://" + database.NewDatabase(t)})
		k := &keeper{person: &person{T: t, kubeconfig: koinon.Kubeconfig()}, hidden: map[string][]byte{}}
		k.keeps()
		koinon.Stop(t)
		k.seeks(everythingOf(t, database))
	})
}

// Members are joined with tokens and with a client certificate, cells have accounts, tokens are renewed, and a dump of the database, or whoever
// has its files, has no credential.
func TestNoCredentialOfAMemberIsInADumpOfTheDatabase(t *testing.T) {
	skipUnlessLong(t)
	for name, args := range map[string]func(t *testing.T) []string{
		"encrypted by default": func(*testing.T) []string { return nil },
		"encrypted by a key management service": func(t *testing.T) []string {
			vault := newVault(t)
			vault.rotate("a-key-of-the-vault")
			vault.start()
			return []string{"--encryption-provider-config", vault.configuration()}
		},
	} {
		t.Run(name, func(t *testing.T) {
			database := startWithBinaryLog(t)
			member := testbed.StartCluster(t, testbed.ClusterOptions{Name: "m1"})
			koinon := testbed.StartKoinon(t, testbed.KoinonOptions{Args: append(args(t), withTunnel...), Datastore: "mysql://" + database.NewDatabase(t)})
			k := &keeper{person: &person{T: t, kubeconfig: testbed.WithMember(t, koinon.Kubeconfig(), member)}, hidden: map[string][]byte{}}
			k.joins(member)
			k.keeps()
			k.unjoins()
			koinon.Stop(t)
			k.seeks(everythingOf(t, database))
		})
	}
}

// withTunnel has a server keep the keys of a tunnel, too.
var withTunnel = []string{"--components=all,tunnel", "--tunnel-port=0", "--tunnel-bind-address=127.0.0.1"}

// keeper has a server keep secrets, and remembers them.
type keeper struct {
	*person
	hidden map[string][]byte
}

// keeps has the server keep what people write: Secrets and federated ones, with overrides, that are changed and deleted.
func (k *keeper) keeps() {
	k.Helper()
	k.kubectl("create", "namespace", "hidden")
	k.kubectl("-n", "hidden", "create", "configmap", "plain", "--from-literal=text="+public)
	secret := func(what string) string {
		password := "correct-horse-" + what + "-battery-staple"
		k.hidden[what] = []byte(password)
		return password
	}
	applied := func(name, what string) string {
		return `{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "` + name + `", "namespace": "hidden"}, "stringData": {"password": "` + secret(what) + `"}}`
	}
	k.apply(applied("changed", "first"))
	k.apply(applied("changed", "second")) // with an annotation that has all of it
	k.kubectl("-n", "hidden", "create", "secret", "generic", "deleted", "--from-literal=password="+secret("deleted"))
	k.kubectl("-n", "hidden", "delete", "secret", "deleted")
	federated := func(name, version, what, spelled string) string {
		encoded := base64.StdEncoding.EncodeToString([]byte(secret(what + "-of-an-override")))
		return `{"apiVersion": "types.kubefed.io/` + version + `", "kind": "FederatedSecret", "metadata": {"name": "` + name + `", "namespace": "hidden"}, "spec": {
			"template": {"stringData": {"password": "` + secret(what) + `"}}, ` + fmt.Sprintf(spelled, encoded) + `}}`
	}
	const v1beta1 = `"placement": {"clusters": [{"name": "m1"}]}, "overrides": [{"clusterName": "m1", "clusterOverrides": [{"path": "/data", "op": "add", "value": {"other": "%s"}}]}]`
	const v1beta2 = `"placement": {"topologies": [{"name": "m1"}]}, "overrides": [{"topologyName": "m1", "topologyOverrides": [{"path": "/data", "op": "add", "value": {"other": "%s"}}]}]`
	k.apply(federated("changed", "v1beta2", "federated", v1beta2))
	k.apply(federated("changed", "v1beta1", "federated-later", v1beta1))
	k.apply(federated("deleted", "v1beta2", "federated-and-deleted", v1beta2))
	k.kubectl("-n", "hidden", "delete", "federatedsecret", "deleted")
	k.kubectl("-n", "hidden", "create", "serviceaccount", "robot")
	k.hidden["a bound token"] = []byte(strings.TrimSpace(k.kubectl("-n", "hidden", "create", "token", "robot")))
	k.apply(`{"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token", "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
		"stringData": {"token-id": "abcdef", "token-secret": "q7x2k9w4m1z8v3h6", "usage-bootstrap-authentication": "true"}}`)
	k.remembers()
}

// joins joins the member by the command, with a token that is renewed and with another one in its place, makes an agent's token and a cell there, and
// has a second KubeFedCluster use a client certificate.
func (k *keeper) joins(member *testbed.Cluster) {
	k.Helper()
	k.plugin(0, "join", "m1", "--token-lifetime", "10m")
	k.propagates("joined")
	before := k.token()
	k.remembers()
	k.kubectl("-n", system, "annotate", "secret", "m1", "federation.koinon.io/rotate=now")
	k.eventually("the token is renewed", func() bool { return k.token() != before })
	k.remembers()
	k.plugin(0, "join", "m1", "--token-lifetime", "0s")
	k.remembers()

	config, err := os.ReadFile(member.Kubeconfig())
	if err != nil {
		k.Fatal(err)
	}
	kubeconfig := base64.StdEncoding.EncodeToString(config)
	k.apply(`{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "certificate", "namespace": "` + system + `", "annotations": {"federation.koinon.io/credentials-for": "certificate"}},
		"data": {"kubeconfig": "` + kubeconfig + `"}}`)
	k.apply(`{"apiVersion": "core.kubefed.io/v1beta1", "kind": "KubeFedCluster", "metadata": {"name": "certificate", "namespace": "` + system + `"},
		"spec": {"apiEndpoint": "` + member.Server() + `", "secretRef": {"name": "certificate"}}}`)
	k.kubectl("-n", system, "wait", "kubefedcluster", "certificate", "--for=condition=Ready", "--timeout=60s")

	k.apply(`{"apiVersion": "federation.koinon.io/v1alpha1", "kind": "Cell", "metadata": {"name": "rz00a", "namespace": "joined"}, "spec": {"clusterName": "m1"}}`)
	k.plugin(0, "agent", "m1", "--image=registry.example/koinon-agent:v1")
	k.remembers()
}

// unjoins takes the credentials away again.
func (k *keeper) unjoins() {
	k.Helper()
	k.remembers()
	k.kubectl("-n", "joined", "delete", "cell", "rz00a")
	k.kubectl("-n", system, "delete", "kubefedcluster", "certificate")
	k.kubectl("-n", system, "delete", "secret", "certificate")
	k.plugin(0, "unjoin", "m1", "--keep-objects")
}

// remembers remembers what is in the Secrets of the server: all but what everybody may know.
func (k *keeper) remembers() {
	k.Helper()
	var list corev1.SecretList
	if err := json.Unmarshal([]byte(k.kubectl("get", "secrets", "-A", "-o", "json")), &list); err != nil {
		k.Fatal(err)
	}
	for _, secret := range list.Items {
		for key, value := range secret.Data {
			if _, err := time.Parse(time.RFC3339, string(value)); err == nil || len(value) < 16 || strings.HasSuffix(key, ".crt") || key == "namespace" {
				continue
			}
			k.hidden[fmt.Sprintf("%s of Secret %s/%s, %x", key, secret.Namespace, secret.Name, value[len(value)-4:])] = value
		}
	}
}

// startWithBinaryLog starts MariaDB with a log of all that is written.
func startWithBinaryLog(t *testing.T) *storagetest.MariaDB {
	t.Helper()
	return storagetest.StartMariaDB(t, "--log-bin=binlog", "--server-id=1", "--binlog-format=ROW", "--sync-binlog=1", "--innodb-log-file-size=16M")
}

// everythingOf is what a thief has: dumps, and the files of the database with what they have of the past.
func everythingOf(t *testing.T, database *storagetest.MariaDB) map[string][]byte {
	t.Helper()
	places := map[string][]byte{"a dump": database.Dump(t), "a dump in hexadecimals": database.Dump(t, "--hex-blob")}
	database.Stop(t) // and writes all that it has in memory
	err := filepath.WalkDir(filepath.Join(database.Dir, "data"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		switch {
		case strings.HasPrefix(entry.Name(), "binlog."):
			places["the binary log"] = append(places["the binary log"], data...)
		case strings.HasPrefix(entry.Name(), "ib_logfile"):
			places["the redo log"] = append(places["the redo log"], data...)
		case entry.Name() == "koinon_log.ibd":
			places["the table"] = append(places["the table"], data...)
		default: // the undo log among them
			places["other files"] = append(places["other files"], append(data, 0)...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return places
}

// seeks looks for what is hidden in all places, and for what is not in those that have to have it.
func (k *keeper) seeks(places map[string][]byte) {
	k.Helper()
	for place, data := range places {
		data = bytes.ReplaceAll(data, make([]byte, 64), []byte{0}) // most of a file of a database is nothing
		if place != "other files" && !found(data, []byte(public)) {
			k.Errorf("there is no %q in %s: this looks in the wrong place", public, place)
		}
		for what, secret := range k.hidden {
			if found(data, secret) {
				k.Errorf("%s can be read in %s", what, place)
			}
		}
	}
	k.Logf("%d secrets were looked for in %d places", len(k.hidden), len(places))
}

// needleBytes is how much of a long secret is looked for: what is more than a line of PEM is written in several.
const needleBytes = 24

// found reports whether a secret is in data, as it is, in hexadecimals, in base64, or in base64 of that.
func found(data, secret []byte) bool {
	if i := bytes.Index(secret, []byte("PRIVATE KEY-----\n")); i >= 0 {
		secret = secret[i+len("PRIVATE KEY-----\n")+70:] // in the second line: the first is that of any key
	} else if i := bytes.Index(secret, []byte("client-key-data: ")); i >= 0 {
		secret = secret[i+len("client-key-data: ")+128:]
	} else if i := bytes.LastIndexByte(secret, '.'); i >= 0 {
		secret = secret[i+1:] // the signature of a token: what is before it says who it is for
	}
	needle := secret[:min(needleBytes, len(secret))]
	forms := append([][]byte{needle}, encoded(needle)...)
	for _, once := range encoded(needle) {
		forms = append(forms, encoded(once)...)
	}
	forms = append(forms, []byte(hex.EncodeToString(needle)), bytes.ToUpper([]byte(hex.EncodeToString(needle))))
	return slices.ContainsFunc(forms, func(form []byte) bool { return bytes.Contains(data, form) })
}

// encoded are the ways in which base64 has bytes that begin at any place of what it encodes.
func encoded(needle []byte) (forms [][]byte) {
	for skip := range 3 {
		whole := needle[skip : skip+(len(needle)-skip)/3*3]
		forms = append(forms, []byte(base64.RawStdEncoding.EncodeToString(whole)), []byte(base64.RawURLEncoding.EncodeToString(whole)))
	}
	return forms
}

// A search that finds nothing has to be able to.
func TestASecretIsFoundInAllItsForms(t *testing.T) {
	const secret = "correct-horse-battery-staple"
	once := base64.StdEncoding.EncodeToString([]byte("x: " + secret))
	for name, text := range map[string]string{
		"as it is":             secret,
		"in hexadecimals":      fmt.Sprintf("0x%X", "a"+secret+"b"),
		"in base64":            once,
		"in base64 of base64":  base64.StdEncoding.EncodeToString([]byte("kubeconfig " + once)),
		"in base64, elsewhere": base64.StdEncoding.EncodeToString([]byte(secret)),
	} {
		if !found([]byte("...."+text+"...."), []byte(secret)) {
			t.Errorf("it is not found %s: %s", name, text)
		}
	}
	if found([]byte("correct-horse"), []byte(secret)) {
		t.Error("a part of it is taken for it")
	}
}

// Whoever gives an EncryptionConfiguration that leaves credentials in the clear is told: in the log, by an Event, and by the doctor.
func TestCredentialsThatAreLeftInTheClearAreSaid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	const text = `{"apiVersion": "apiserver.config.k8s.io/v1", "kind": "EncryptionConfiguration", "resources": [{"resources": ["secrets"],
		"providers": [{"identity": {}}, {"secretbox": {"keys": [{"name": "k", "secret": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}]}}]}]}`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	koinon := testbed.StartKoinon(t, testbed.KoinonOptions{Args: []string{"--encryption-provider-config", path}})
	p := &person{T: t, kubeconfig: koinon.Kubeconfig()}
	want := "the EncryptionConfiguration " + path + " has credentials stored in the clear: secrets, for which identity comes first; federatedsecrets.types.kubefed.io, which no entry names"
	p.eventually("an Event says so", func() bool {
		return strings.Contains(p.kubectl("-n", system, "get", "events", "--field-selector=reason=CredentialsNotEncrypted", "-o", "jsonpath={.items[*].message}"), want)
	})
	if said := p.plugin(1, "doctor"); !strings.Contains(said.stdout, want) {
		t.Errorf("the doctor says %q", said.stdout)
	}
	log, err := os.ReadFile(koinon.LogFile())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(log), want); n != 1 {
		t.Errorf("the log says it %d times", n)
	}
}
