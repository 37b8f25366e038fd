"""What GitOps tools conclude from our resources and do to them, by their own code: kstatus, Helm, Argo CD (in `argo`).

No Argo CD is installed: its settings, scripts, tracking and sync engine are called. Flux is kstatus, and what it sends.
"""
