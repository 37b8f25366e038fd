"""What GitOps tools conclude from our resources: by kstatus and Helm themselves, and by our scripts for Argo CD.

The scripts run in the interpreter that Argo CD embeds, called as it calls them; Argo CD itself is not here.
"""
