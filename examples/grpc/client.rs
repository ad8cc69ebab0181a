//! One call, and what a client learns when it is refused.

use std::{error::Error, net::SocketAddr};

use tonic::{
    client::Grpc, codegen::http::uri::PathAndQuery, server::NamedService, transport::Endpoint,
};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::greeter::{HelloReply, HelloRequest};

pub(crate) async fn hello<S: NamedService>(
    address: SocketAddr,
    name: &str,
) -> Result<(), Box<dyn Error>> {
    let channel = Endpoint::from_shared(format!("http://{address}"))?
        .connect()
        .await
        .map_err(|error| format!("no server on {address}: {error}"))?;
    let mut client = Grpc::new(channel);
    client.ready().await?;
    let method = PathAndQuery::try_from(format!("/{}/Hello", S::NAME))?;
    let request = tonic::Request::new(HelloRequest { name: name.to_owned() });
    let codec = ProstCodec::<HelloRequest, HelloReply>::default();
    match client.unary(request, method, codec).await {
        Ok(reply) => println!("{:?}", reply.into_inner()),
        Err(status) => {
            println!("{:?}: {}", status.code(), status.message());
            if let Some(info) = status.get_error_details().retry_info() {
                println!("retry after {:?}", info.retry_delay.unwrap_or_default());
            }
        }
    }
    Ok(())
}
