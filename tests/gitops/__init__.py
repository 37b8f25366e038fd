"""What GitOps tools conclude from our resources, by their own code: kstatus, Helm, and the Lua of Argo CD."""
