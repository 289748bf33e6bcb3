//! kubectl's flags, applied to a kubeconfig as kubectl does it.

use kube::Config;
use kube::config::{
    AuthInfo, Cluster, Context, KubeConfigOptions, Kubeconfig, NamedAuthInfo, NamedCluster,
    NamedContext,
};
use lsm_ready_crds::text::nearest;

use crate::cli::ConnectionArgs;
use crate::cluster::error::{self, Error};

/// Name of what only the command line describes.
const COMMAND_LINE: &str = "command-line";

/// The variable by which a program finds out that it runs in a pod.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// The client's configuration, and the name of the context.
pub async fn config(args: &ConnectionArgs) -> Result<(Config, String), Error> {
    let kubeconfig = match &args.kubeconfig {
        Some(file) => Kubeconfig::read_from(file).map_err(|found| {
            Error::KubeconfigFile(file.display().to_string(), error::cause(&found))
        })?,
        None => match Kubeconfig::read() {
            Ok(found) => found,
            Err(_) if args.server.is_some() => Kubeconfig::default(),
            Err(_) if std::env::var_os(IN_CLUSTER).is_some() => return in_cluster(args),
            Err(found) => return Err(Error::NoKubeconfig(error::cause(&found))),
        },
    };
    let (kubeconfig, options) = overridden(kubeconfig, args)?;
    let name = options.context.clone().unwrap_or_default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let mut config = config.map_err(|found| Error::Kubeconfig(error::cause(&found)))?;
    limit(&mut config, args);
    Ok((config, name))
}

fn in_cluster(args: &ConnectionArgs) -> Result<(Config, String), Error> {
    let config = Config::incluster();
    let mut config = config.map_err(|found| Error::NoKubeconfig(error::cause(&found)))?;
    override_user(&mut config.auth_info, args);
    limit(&mut config, args);
    Ok((config, String::new()))
}

fn limit(config: &mut Config, args: &ConnectionArgs) {
    if let Some(limit) = args.limit() {
        config.connect_timeout = Some(limit);
        config.read_timeout = Some(limit);
        // The time that a connection is idle before a request is not part of it.
        config.reset_reader_on_write = true;
    }
}

/// The kubeconfig with the flags in the cluster and the user of the wanted context. Pure.
fn overridden(
    mut kubeconfig: Kubeconfig,
    args: &ConnectionArgs,
) -> Result<(Kubeconfig, KubeConfigOptions), Error> {
    let context = context(&mut kubeconfig, args)?;
    let names = kubeconfig.contexts.iter().find(|named| named.name == context);
    let names = names.and_then(|named| named.context.clone()).unwrap_or_default();
    let cluster = args.cluster.clone().unwrap_or(names.cluster);
    let user = args.user.clone().or(names.user);
    known("cluster", &cluster, kubeconfig.clusters.iter().map(|named| named.name.as_str()))?;
    for named in kubeconfig.clusters.iter_mut().filter(|named| named.name == cluster) {
        override_cluster(named.cluster.get_or_insert_default(), args);
    }
    if let Some(user) = &user {
        known("user", user, kubeconfig.auth_infos.iter().map(|named| named.name.as_str()))?;
    }
    let users = kubeconfig.auth_infos.iter_mut().filter(|named| Some(&named.name) == user.as_ref());
    for named in users {
        override_user(named.auth_info.get_or_insert_default(), args);
    }
    let options = KubeConfigOptions { context: Some(context), cluster: Some(cluster), user };
    Ok((kubeconfig, options))
}

/// The name of the wanted context. A kubeconfig without contexts gets one if there is a server.
fn context(kubeconfig: &mut Kubeconfig, args: &ConnectionArgs) -> Result<String, Error> {
    let current = kubeconfig.current_context.clone().filter(|name| !name.is_empty());
    if let Some(wanted) = args.context.clone().or(current) {
        known("context", &wanted, kubeconfig.contexts.iter().map(|named| named.name.as_str()))?;
        return Ok(wanted);
    }
    if args.server.is_none() && args.cluster.is_none() {
        return Err(Error::NoContext);
    }
    let name = COMMAND_LINE.to_owned();
    let cluster = args.cluster.clone().unwrap_or_else(|| name.clone());
    if args.cluster.is_none() {
        let empty = Some(Cluster::default());
        kubeconfig.clusters.push(NamedCluster {
            name: cluster.clone(),
            cluster: empty,
            ..NamedCluster::default()
        });
    }
    let user = args.user.clone().unwrap_or_else(|| name.clone());
    if args.user.is_none() {
        let empty = Some(AuthInfo::default());
        let named = NamedAuthInfo { name: user.clone(), auth_info: empty, ..Default::default() };
        kubeconfig.auth_infos.push(named);
    }
    let context = Context { cluster, user: Some(user), ..Context::default() };
    kubeconfig.contexts.push(NamedContext {
        name: name.clone(),
        context: Some(context),
        ..NamedContext::default()
    });
    Ok(name)
}

/// Refuses a name that the kubeconfig does not have.
fn known<'a>(
    what: &'static str,
    wanted: &str,
    names: impl Iterator<Item = &'a str> + Clone,
) -> Result<(), Error> {
    if names.clone().any(|name| name == wanted) {
        return Ok(());
    }
    let near = nearest(wanted, names).into_iter().map(str::to_owned).collect();
    Err(Error::NotInKubeconfig { what, name: wanted.to_owned(), near })
}

fn override_cluster(cluster: &mut Cluster, args: &ConnectionArgs) {
    if let Some(server) = &args.server {
        cluster.server = Some(server.clone());
    }
    if args.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
    }
    if let Some(file) = &args.certificate_authority {
        cluster.certificate_authority = Some(file.clone());
        cluster.certificate_authority_data = None;
    }
    if let Some(name) = &args.tls_server_name {
        cluster.tls_server_name = Some(name.clone());
    }
}

fn override_user(user: &mut AuthInfo, args: &ConnectionArgs) {
    if let Some(token) = &args.token {
        user.token = Some(token.clone().into());
        (user.token_file, user.exec, user.auth_provider) = (None, None, None);
        (user.username, user.password) = (None, None);
    }
    if let Some(file) = &args.client_certificate {
        (user.client_certificate, user.client_certificate_data) = (Some(file.clone()), None);
    }
    if let Some(file) = &args.client_key {
        (user.client_key, user.client_key_data) = (Some(file.clone()), None);
    }
    if let Some(name) = &args.as_user {
        user.impersonate = Some(name.clone());
    }
    if !args.as_group.is_empty() {
        user.impersonate_groups = Some(args.as_group.clone());
    }
    if let Some(uid) = &args.as_uid {
        user.impersonate_uid = Some(uid.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: prod
contexts:
- {name: prod, context: {cluster: c1, user: u1}}
- {name: test, context: {cluster: c2, user: u1}}
clusters:
- {name: c1, cluster: {server: https://one, certificate-authority-data: YQ==}}
- {name: c2, cluster: {server: https://two}}
users:
- {name: u1, user: {token-file: /file}}
";

    fn result(file: &str, args: &ConnectionArgs) -> Result<(Cluster, AuthInfo), Error> {
        let (kubeconfig, options) = overridden(Kubeconfig::from_yaml(file).unwrap(), args)?;
        let cluster = kubeconfig
            .clusters
            .into_iter()
            .find(|named| Some(&named.name) == options.cluster.as_ref());
        let user = kubeconfig
            .auth_infos
            .into_iter()
            .find(|named| Some(&named.name) == options.user.as_ref());
        Ok((cluster.unwrap().cluster.unwrap(), user.unwrap().auth_info.unwrap()))
    }

    #[test]
    fn the_flags_are_applied_to_the_context_that_is_wanted() {
        let args = ConnectionArgs {
            context: Some("test".into()),
            token: Some("secret".into()),
            as_user: Some("ann".into()),
            as_group: vec!["g1".into(), "g2".into()],
            insecure_skip_tls_verify: true,
            ..ConnectionArgs::default()
        };
        let (cluster, user) = result(FILE, &args).unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://two"));
        assert_eq!(cluster.insecure_skip_tls_verify, Some(true));
        assert!(user.token.is_some() && user.token_file.is_none());
        assert_eq!(user.impersonate.as_deref(), Some("ann"));
        assert_eq!(user.impersonate_groups.unwrap(), ["g1", "g2"]);
    }

    #[test]
    fn a_cluster_of_its_own_and_a_server_go_before_the_context() {
        let args = ConnectionArgs {
            cluster: Some("c2".into()),
            server: Some("https://three".into()),
            certificate_authority: Some("/ca".into()),
            ..ConnectionArgs::default()
        };
        let (cluster, _) = result(FILE, &args).unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://three"));
        assert_eq!(cluster.certificate_authority.as_deref(), Some("/ca"));
    }

    #[test]
    fn a_server_alone_needs_no_kubeconfig() {
        let server = Some("https://three".to_owned());
        let args = ConnectionArgs { server, token: Some("t".into()), ..ConnectionArgs::default() };
        let (cluster, user) = result("{}", &args).unwrap();
        assert_eq!(cluster.server.as_deref(), Some("https://three"));
        assert!(user.token.is_some());
    }

    #[test]
    fn a_name_that_is_not_there_is_refused_with_similar_ones() {
        let args = ConnectionArgs { context: Some("prd".into()), ..ConnectionArgs::default() };
        let said = result(FILE, &args).unwrap_err().to_string();
        assert!(said.contains("no context \"prd\"") && said.contains("prod"), "{said}");
        let args = ConnectionArgs { user: Some("x".into()), ..ConnectionArgs::default() };
        assert!(result(FILE, &args).unwrap_err().to_string().contains("no user"));
        let none = result("{}", &ConnectionArgs::default()).unwrap_err().to_string();
        assert!(none.contains("--context"), "{none}");
    }
}
