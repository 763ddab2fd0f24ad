package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type cluster struct {
	options
	children *children
	stop     <-chan os.Signal
	ports    *ports
	api      string
	admin    string
}

func (c *cluster) path(parts ...string) string {
	return filepath.Join(append([]string{c.dir}, parts...)...)
}

func (c *cluster) component(name string, env []string, args ...string) error {
	return c.children.start(name, env, nil, filepath.Join(c.bin, "cluster"), append([]string{name}, args...)...)
}

func (c *cluster) start() (map[string]any, error) {
	addresses := make([]string, 14)
	for i := range addresses {
		addresses[i] = c.ports.address()
	}
	etcd, peer, api, redis, repo := addresses[0], addresses[1], addresses[2], addresses[3], addresses[4]
	rest := addresses[5:]
	if err := c.controlPlane(etcd, peer, api, redis); err != nil {
		return nil, err
	}
	if err := c.install(); err != nil {
		return nil, err
	}
	if err := c.controllers(); err != nil {
		return nil, err
	}
	server, err := c.argocd(redis, repo, rest)
	if err != nil {
		return nil, err
	}
	git, err := c.git(rest[7])
	if err != nil {
		return nil, err
	}
	document := map[string]any{"kubeconfig": c.kubeconfig("admin"), "dir": c.dir, "bin": c.bin, "gitRoot": c.path("git"), "gitUrl": git}
	if !c.bare {
		if document, err = c.load(git); err != nil {
			return nil, err
		}
		if document["prometheus"], err = c.prometheus(fmt.Sprint(document["prometheus"]), rest[8]); err != nil {
			return nil, err
		}
	}
	document["auditLog"] = c.path("audit.log")
	document["pid"] = os.Getpid()
	document["bin"] = c.bin
	document["control"] = c.path("control")
	if server != "" {
		document["argocdServer"] = server
	}
	return document, nil
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// users of the API: everybody who belongs to the installation has a name of their own, so that the audit log tells them from the operator.
var users = []string{
	"admin",
	"system:kube-controller-manager",
	"system:kube-scheduler",
	"system:serviceaccount:kube-system:kwok",
	"system:serviceaccount:argocd:argocd-application-controller",
	"system:serviceaccount:argocd:argocd-applicationset-controller",
	"system:serviceaccount:argocd:argocd-server",
}

func short(user string) string { return user[strings.LastIndex(user, ":")+1:] }

func (c *cluster) kubeconfig(user string) string { return c.path("kubeconfigs", short(user)) }

func (c *cluster) controlPlane(etcd, peer, api, redis string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	pemKey := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(c.path("accounts.key"), pemKey, 0o600); err != nil {
		return err
	}
	if err := c.credentials(api); err != nil {
		return err
	}
	err = c.component("etcd", nil,
		"--data-dir", c.path("etcd"), "--name", "default", "--unsafe-no-fsync", "--log-level", "warn",
		"--listen-client-urls", "http://"+etcd, "--advertise-client-urls", "http://"+etcd,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer, "--initial-cluster", "default=http://"+peer)
	if err != nil {
		return err
	}
	if err := c.component("miniredis", nil, redis); err != nil {
		return err
	}
	if err := c.until("etcd", func() error { return c.get("http://"+etcd+"/health", "") }); err != nil {
		return err
	}
	err = c.component("kube-apiserver", nil,
		"--etcd-servers=http://"+etcd, "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none",
		"--secure-port="+portOf(api), "--cert-dir="+c.path("certificates"),
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+c.path("accounts.key"),
		"--service-account-signing-key-file="+c.path("accounts.key"), "--token-auth-file="+c.path("tokens.csv"),
		"--authorization-mode=RBAC", "--service-cluster-ip-range=10.0.0.0/24", "--allow-privileged=true",
		"--audit-policy-file="+filepath.Join(c.assets, "audit-policy.yaml"), "--audit-log-path="+c.path("audit.log"))
	if err != nil {
		return err
	}
	return c.until("kube-apiserver", func() error { return c.get(c.api+"/readyz", c.admin) })
}

// credentials writes the token file and a kubeconfig for each user. The API server makes its certificate itself.
func (c *cluster) credentials(api string) error {
	c.api = "https://" + api
	var csv strings.Builder
	if err := os.MkdirAll(c.path("kubeconfigs"), 0o700); err != nil {
		return err
	}
	for _, user := range users {
		token, err := secret()
		if err != nil {
			return err
		}
		if user == "admin" {
			c.admin = token
		}
		fmt.Fprintf(&csv, "%s,%s,%s,\"system:masters\"\n", token, user, short(user))
		config := map[string]any{
			"apiVersion": "v1", "kind": "Config", "current-context": short(user),
			"clusters": []any{map[string]any{"name": "real", "cluster": map[string]any{
				"server": c.api, "certificate-authority": c.path("certificates", "apiserver.crt")}}},
			"users":    []any{map[string]any{"name": short(user), "user": map[string]any{"token": token}}},
			"contexts": []any{map[string]any{"name": short(user), "context": map[string]any{"cluster": "real", "user": short(user)}}},
		}
		text, err := json.MarshalIndent(config, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.kubeconfig(user), text, 0o600); err != nil {
			return err
		}
	}
	if err := os.Symlink(c.kubeconfig("admin"), c.path("admin.kubeconfig")); err != nil {
		return err
	}
	return os.WriteFile(c.path("tokens.csv"), []byte(csv.String()), 0o600)
}

func secret() (string, error) {
	bytes := make([]byte, 16)
	_, err := rand.Read(bytes)
	return hex.EncodeToString(bytes), err
}

// install brings what an installation of Argo CD consists of besides its processes, and the node that pods run on.
func (c *cluster) install() error {
	if err := c.kubectl("create", "namespace", "argocd"); err != nil {
		return err
	}
	files := []string{"apply", "--namespace=argocd", "--server-side", "--force-conflicts", "--field-manager=install"}
	for _, name := range []string{"application", "applicationset", "appproject"} {
		files = append(files, "-f", filepath.Join(c.manifests, "crds", name+"-crd.yaml"))
	}
	for _, name := range []string{"cm", "cmd-params-cm", "gpg-keys-cm", "rbac-cm", "secret", "ssh-known-hosts-cm", "tls-certs-cm"} {
		files = append(files, "-f", filepath.Join(c.manifests, "base", "config", "argocd-"+name+".yaml"))
	}
	if err := c.kubectl(files...); err != nil {
		return err
	}
	// `kubectl wait` trips over a CRD that has no conditions yet; what is served can be listed.
	err := c.until("kube-apiserver", func() error {
		return c.kubectl("get", "applications.argoproj.io,applicationsets.argoproj.io,appprojects.argoproj.io", "--all-namespaces")
	})
	if err != nil {
		return err
	}
	key, err := secret()
	if err != nil {
		return err
	}
	if err := c.kubectl("patch", "secret", "argocd-secret", "--namespace=argocd", "--patch", `{"stringData":{"server.secretkey":"`+key+`"}}`); err != nil {
		return err
	}
	return c.kubectl("apply", "--server-side", "-f", filepath.Join(c.assets, "installed.yaml"))
}

func (c *cluster) kubectl(args ...string) error {
	cmd := exec.Command(filepath.Join(c.bin, "kubectl"), append([]string{"--kubeconfig=" + c.kubeconfig("admin")}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+c.path("argocd", "home"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

func (c *cluster) controllers() error {
	err := c.component("kube-controller-manager", nil,
		"--kubeconfig="+c.kubeconfig("system:kube-controller-manager"), "--service-account-private-key-file="+c.path("accounts.key"),
		"--root-ca-file="+c.path("certificates", "apiserver.crt"), "--use-service-account-credentials=true", "--leader-elect=false",
		// Nobody sends the node's heartbeats.
		"--secure-port=0", "--node-monitor-grace-period=24h")
	if err != nil {
		return err
	}
	err = c.component("kube-scheduler", nil, "--kubeconfig="+c.kubeconfig("system:kube-scheduler"), "--leader-elect=false", "--secure-port=0")
	if err != nil {
		return err
	}
	return c.children.start("kwok", nil, nil, filepath.Join(c.bin, "kwok"), "--kubeconfig="+c.kubeconfig("system:serviceaccount:kube-system:kwok"),
		"--manage-all-nodes=true", "--config="+filepath.Join(c.assets, "stages.yaml"))
}

// argocd starts Argo CD's processes, and its API server if it was asked for; then the address of that is given.
func (c *cluster) argocd(redis, repo string, ports []string) (string, error) {
	// The repo server runs this one before every render; there are no signatures to check.
	wrapper := c.path("argocd", "bin", "git-verify-wrapper.sh")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(c.path("argocd", "ssh", "ssh_known_hosts"), nil, 0o644); err != nil {
		return "", err
	}
	env := []string{
		"ARGOCD_FAKE_IN_CLUSTER=true", "ARGOCD_GPG_ENABLED=false", "ARGOCD_TLS_DATA_PATH=" + c.path("argocd", "tls"),
		"ARGOCD_SSH_DATA_PATH=" + c.path("argocd", "ssh"), "HOME=" + c.path("argocd", "home"), "TMPDIR=" + c.path("argocd", "tmp"),
		"PATH=" + c.path("argocd", "bin") + ":" + c.bin + ":" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1",
	}
	err := c.component("argocd-repo-server", env, "--redis="+redis, "--disable-tls", "--client-ca-path=",
		"--address=127.0.0.1", "--port="+portOf(repo), "--metrics-address=127.0.0.1", "--metrics-port="+portOf(ports[0]))
	if err != nil {
		return "", err
	}
	// The cluster that Applications name as https://kubernetes.default.svc is that of the environment, not that of --kubeconfig.
	as := func(user string) []string { return append(slices.Clone(env), "KUBECONFIG="+c.kubeconfig(user)) }
	common := func(user string) []string {
		return []string{"--kubeconfig=" + c.kubeconfig(user), "--namespace=argocd", "--repo-server-plaintext"}
	}
	controller := append(common(users[4]), "--application-namespaces=team-*", "--redis="+redis, "--repo-server="+repo, "--metrics-port="+portOf(ports[1]))
	if c.bare {
		controller = append(controller, "--app-resync=0", "--app-hard-resync=0")
	}
	err = c.component("argocd-application-controller", as(users[4]), controller...)
	if err != nil {
		return "", err
	}
	err = c.component("argocd-applicationset-controller", as(users[5]), append(common(users[5]), "--argocd-repo-server="+repo, "--enable-progressive-syncs",
		"--metrics-addr="+ports[2], "--probe-addr="+ports[3], "--webhook-addr="+ports[4])...)
	if err != nil {
		return "", err
	}
	if c.server {
		err = c.component("argocd-server", as(users[6]), append(common(users[6]), "--redis="+redis, "--repo-server="+repo, "--disable-auth", "--insecure",
			"--address=127.0.0.1", "--port="+portOf(ports[5]), "--metrics-address=127.0.0.1", "--metrics-port="+portOf(ports[6]))...)
		if err != nil {
			return "", err
		}
		if err := c.listens("argocd-server", ports[5]); err != nil {
			return "", err
		}
	}
	if err := c.listens("argocd-repo-server", repo); err != nil {
		return "", err
	}
	if !c.server {
		return "", nil
	}
	return ports[5], nil
}

func (c *cluster) listens(name, address string) error {
	return c.until(name, func() error {
		connection, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			_ = connection.Close()
		}
		return err
	})
}

// git serves the folder `git` as a remote would, to all who reach it: it is on loopback.
func (c *cluster) git(address string) (string, error) {
	err := c.children.start("git-daemon", []string{"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + c.path("gitconfig")}, nil, "git", "daemon",
		"--listen=127.0.0.1", "--port="+portOf(address), "--base-path="+c.path("git"), "--export-all", "--enable=receive-pack", "--reuseaddr", "--max-connections=0", c.path("git"))
	if err != nil {
		return "", err
	}
	// Whoever owns the repository: the daemon serves nothing else.
	if err := os.WriteFile(c.path("gitconfig"), []byte("[safe]\n\tdirectory = *\n"), 0o644); err != nil {
		return "", err
	}
	return "git://" + address, c.listens("git-daemon", address)
}

func (c *cluster) load(git string) (map[string]any, error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	args := []string{c.scenario, "--kubeconfig", c.kubeconfig("admin"), "--git-root", c.path("git"), "--git-url", git, "--dir", c.dir}
	if c.scenario == "" {
		args = args[1:]
	}
	for _, set := range c.sets {
		args = append(args, "--set", set)
	}
	// The end of its log shall be what it says, not where it stood.
	err = c.children.start("loader", []string{"RUST_BACKTRACE=0"}, writer, c.loader, args...)
	_ = writer.Close()
	if err != nil {
		return nil, err
	}
	return c.firstLine(reader)
}

// prometheus starts Debian's over the exporter, or gives the exporter's own query API where there is none.
func (c *cluster) prometheus(exporter, address string) (string, error) {
	program, err := exec.LookPath("prometheus")
	if err != nil {
		fmt.Fprintln(os.Stderr, "no prometheus on PATH: the loader's own query API stands in for it")
		return exporter, nil
	}
	scrape := "5s"
	for _, set := range c.sets {
		if value, ok := strings.CutPrefix(set, "scrape="); ok {
			scrape = value
		}
	}
	config := fmt.Sprintf("global: {scrape_interval: %s, scrape_timeout: %s}\nscrape_configs:\n- job_name: services\n  honor_labels: true\n"+
		"  static_configs: [{targets: [%q]}]\n", scrape, scrape, strings.TrimPrefix(exporter, "http://"))
	if err := os.WriteFile(c.path("prometheus.yml"), []byte(config), 0o644); err != nil {
		return "", err
	}
	err = c.children.start("prometheus", nil, nil, program, "--config.file="+c.path("prometheus.yml"), "--storage.tsdb.path="+c.path("prometheus"),
		"--web.listen-address="+address, "--log.level=warn")
	if err != nil {
		return "", err
	}
	// Two scrapes: a rate can be computed.
	query := "http://" + address + "/api/v1/query?query=min(count_over_time(http_requests_total[5m]))%3E%3D2"
	return "http://" + address, c.until("prometheus", func() error {
		body, err := c.read(query, "")
		if err == nil && !strings.Contains(body, `"value"`) {
			err = fmt.Errorf("it answers %s", strings.TrimSpace(body))
		}
		return err
	})
}

var insecure = &http.Client{
	Timeout: 5 * time.Second,
	// Only asks whether our own server on loopback is ready.
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
}

func (c *cluster) get(url, token string) error {
	_, err := c.read(url, token)
	return err
}

func (c *cluster) read(url, token string) (string, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := insecure.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, strings.TrimSpace(string(body)))
	}
	return string(body), err
}
