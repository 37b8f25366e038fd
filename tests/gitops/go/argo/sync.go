package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/cache"
	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/diff"
	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/health"
	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/sync"
	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/v3/pkg/utils/tracing"
	argocommon "github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/argo"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
)

// refresh is how often a sync is looked at that no event tells of, as in Argo CD's engine.
const refresh = time.Second

// application is a folder of manifests that belongs into a namespace.
type application struct {
	name, namespace, folder string
	config                  *rest.Config
	overrides               map[string]v1alpha1.ResourceOverride
	isServerSide            bool

	kubectl kube.Kubectl
	cluster cache.ClusterCache
	targets []*unstructured.Unstructured
	changed chan struct{}
}

// outcome is what Argo CD shows of an application after a sync.
type outcome struct {
	Phase    common.OperationPhase           `json:"phase"`
	Message  string                          `json:"message"`
	Results  map[string]string               `json:"results"`
	IsSynced bool                            `json:"is_synced"`
	Health   map[string]*health.HealthStatus `json:"health"`
}

func (app *application) deliver(ctx context.Context, wait bool) error {
	if err := app.open(); err != nil {
		return err
	}
	told, err := app.sync(ctx)
	if err != nil {
		return err
	}
	for {
		if err := app.look(ctx, told); err != nil {
			return err
		}
		if !wait || told.Phase != common.OperationSucceeded || !told.progresses() {
			return json.NewEncoder(os.Stdout).Encode(told)
		}
		if err := app.pause(ctx); err != nil {
			return err
		}
	}
}

// open reads the folder and the namespace.
func (app *application) open() error {
	paths, err := filepath.Glob(filepath.Join(app.folder, "*.yaml"))
	if err != nil {
		return err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		found, err := kube.SplitYAML(text)
		if err != nil {
			return err
		}
		app.targets = append(app.targets, found...)
	}
	tracking := argo.NewResourceTracking()
	method := v1alpha1.TrackingMethodAnnotation
	for _, target := range app.targets {
		target.SetNamespace(app.namespace)
		if err := tracking.SetAppInstance(target, "", app.name, app.namespace, method, ""); err != nil {
			return err
		}
	}
	app.kubectl = &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}
	app.cluster = cache.NewClusterCache(app.config,
		cache.SetNamespaces([]string{app.namespace}),
		cache.SetLogr(logr.Discard()),
		cache.SetPopulateResourceInfoHandler(func(resource *unstructured.Unstructured, _ bool) (any, bool) {
			owner := tracking.GetAppName(resource, "", method, "")
			return owner, owner != ""
		}),
	)
	app.changed = make(chan struct{}, 1)
	app.cluster.OnResourceUpdated(func(_, _ *cache.Resource, _ map[kube.ResourceKey]*cache.Resource) {
		select {
		case app.changed <- struct{}{}:
		default:
		}
	})
	return app.cluster.EnsureSynced()
}

// compare puts what the folder wants beside what is there. The cache tells what there is to prune; each resource is read
// anew, since the cache may be behind what was just applied.
func (app *application) compare(ctx context.Context) (sync.ReconciliationResult, error) {
	live, err := app.cluster.GetManagedLiveObjs(app.targets, func(resource *cache.Resource) bool {
		return resource.Info == app.name
	})
	if err != nil {
		return sync.ReconciliationResult{}, err
	}
	known := append([]*unstructured.Unstructured{}, app.targets...)
	for _, resource := range live {
		known = append(known, resource)
	}
	for _, resource := range known {
		key := kube.GetResourceKey(resource)
		kind := resource.GroupVersionKind()
		fresh, err := app.kubectl.GetResource(ctx, app.config, kind, resource.GetName(), resource.GetNamespace())
		switch {
		case apierrors.IsNotFound(err):
			delete(live, key)
		case err != nil:
			return sync.ReconciliationResult{}, err
		default:
			live[key] = fresh
		}
	}
	return sync.Reconcile(app.targets, live, app.namespace, app.cluster), nil
}

// sync goes from step to step as Argo CD's controller does: with the resources as they are then.
func (app *application) sync(ctx context.Context) (*outcome, error) {
	told := &outcome{Phase: common.OperationRunning, Results: map[string]string{}}
	var results []common.ResourceSyncResult
	began := metav1.Now()
	foreground := metav1.DeletePropagationForeground
	for {
		state, err := app.compare(ctx)
		if err != nil {
			return nil, err
		}
		step, cleanup, err := sync.NewSyncContext(
			"", state, app.config, app.config, app.kubectl, app.namespace,
			sync.WithLogr(logr.Discard()),
			sync.WithHealthOverride(lua.ResourceHealthOverrides(app.overrides)),
			sync.WithOperationSettings(false, true, false, false),
			sync.WithInitialState(told.Phase, told.Message, results, began),
			sync.WithPrunePropagationPolicy(&foreground),
			sync.WithServerSideApply(app.isServerSide),
			sync.WithServerSideApplyManager(argocommon.ArgoCDSSAManager),
		)
		if err != nil {
			return nil, err
		}
		step.Sync(ctx)
		told.Phase, told.Message, results = step.GetState()
		cleanup()
		if told.Phase.Completed() {
			for _, result := range results {
				told.Results[name(result.ResourceKey)] = string(result.Status) + ": " + result.Message
			}
			return told, nil
		}
		if err := app.pause(ctx); err != nil {
			return nil, err
		}
	}
}

// look tells whether what is there is what is wanted, and how it fares.
func (app *application) look(ctx context.Context, told *outcome) error {
	state, err := app.compare(ctx)
	if err != nil {
		return err
	}
	applier, cleanup, err := app.kubectl.ManageServerSideDiffDryRuns(app.config)
	if err != nil {
		return err
	}
	defer cleanup()
	differences, err := diff.DiffArray(ctx, state.Target, state.Live,
		diff.WithLogr(logr.Discard()),
		diff.WithServerSideDiff(app.isServerSide),
		diff.WithServerSideDryRunner(diff.NewK8sServerSideDryRunner(applier)),
		diff.WithManager(argocommon.ArgoCDSSAManager),
		diff.WithGVKParser(app.cluster.GetGVKParser()),
	)
	if err != nil {
		return err
	}
	told.IsSynced = !differences.Modified
	told.Health = map[string]*health.HealthStatus{}
	for index, live := range state.Live {
		if live == nil {
			told.IsSynced = false
			told.Health[name(kube.GetResourceKey(state.Target[index]))] = &health.HealthStatus{
				Status: health.HealthStatusMissing,
			}
			continue
		}
		if state.Target[index] == nil {
			told.IsSynced = false
		}
		found, err := health.GetResourceHealth(live, lua.ResourceHealthOverrides(app.overrides))
		if err != nil {
			return err
		}
		if found != nil {
			told.Health[name(kube.GetResourceKey(live))] = found
		}
	}
	return nil
}

func (told *outcome) progresses() bool {
	for _, one := range told.Health {
		if one.Status == health.HealthStatusProgressing || one.Status == health.HealthStatusMissing {
			return true
		}
	}
	return false
}

// pause returns when something in the namespace has changed, or after a while.
func (app *application) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-app.changed:
	case <-time.After(refresh):
	}
	return nil
}

func name(key kube.ResourceKey) string {
	return key.Kind + "/" + key.Name
}
